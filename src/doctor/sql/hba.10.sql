-- pg_hba.conf as the file says now. Superusers alone see it, unless pg_hba_file_rules and its function are granted.
SELECT line_number::text AS line,
       type::text AS type,
       array_to_string(database, ',')::text AS databases,
       array_to_string(user_name, ',')::text AS users,
       address::text AS address,
       netmask::text AS netmask,
       auth_method::text AS method,
       error::text AS error
  FROM pg_hba_file_rules
 ORDER BY line_number
 LIMIT 2000
