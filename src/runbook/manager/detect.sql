-- Traces that cluster managers leave in a server, for everybody who may read all settings.
SELECT 'application'::text AS fact, application_name::text AS value
  FROM pg_catalog.pg_stat_activity
 WHERE backend_type = 'client backend'
   AND application_name ~ '^(Patroni($| )|repmgrd?$|pg_auto|cnpg)'
UNION
SELECT 'file', pg_catalog.regexp_replace(sourcefile, '^.*/', '')
  FROM pg_catalog.pg_settings
 WHERE sourcefile ~ '/(postgresql[.]base[.]conf|postgresql-auto-failover(-standby)?[.]conf)$'
UNION
SELECT 'slot', slot_name::text
  FROM pg_catalog.pg_replication_slots
 WHERE slot_name ~ '^(_cnpg_|pgautofailover_standby_)'
UNION
SELECT 'library', pg_catalog.btrim(library)
  FROM pg_catalog.regexp_split_to_table(pg_catalog.current_setting('shared_preload_libraries', true), ',') AS library
 WHERE pg_catalog.btrim(library) ~ '^(repmgr|pgautofailover)$'
UNION
SELECT 'extension', extname::text
  FROM pg_catalog.pg_extension
 WHERE extname IN ('repmgr', 'pgautofailover')
UNION
SELECT 'archive_command', '/controller/manager'
 WHERE pg_catalog.current_setting('archive_command', true) LIKE '/controller/manager %'
ORDER BY 1, 2
LIMIT 100
