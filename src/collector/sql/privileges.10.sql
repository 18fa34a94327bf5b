SELECT rolname::text AS role,
       rolsuper::text AS superuser,
       pg_has_role(current_user, 'pg_monitor', 'usage')::text AS pg_monitor,
       rolconnlimit::text AS connection_limit
  FROM pg_roles
 WHERE rolname = current_user
