-- Who may log in for replication. pg_roles shows no password.
SELECT rolname::text AS name,
       rolcanlogin::text AS can_login,
       rolreplication::text AS replication,
       rolsuper::text AS superuser,
       (rolvaliduntil < now())::text AS expired
  FROM pg_roles
 WHERE rolreplication OR rolsuper OR rolname IN (SELECT usename FROM pg_stat_replication)
 ORDER BY rolname
 LIMIT 200
