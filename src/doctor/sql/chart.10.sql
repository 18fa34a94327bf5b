-- What no collector reads, in one row. A connection string is never taken whole: its password is cut out first, and then the words that
-- are asked for are taken out one by one. A URI is only told to be one. A setting that the role may not see reads NULL.
WITH seen AS (
  SELECT max(setting) FILTER (WHERE name = 'primary_conninfo') AS whole,
         max(setting) FILTER (WHERE name = 'shared_preload_libraries') AS preload,
         max(setting) FILTER (WHERE name = 'hba_file') AS hba_file,
         count(*) FILTER (WHERE name = 'primary_conninfo') AS shown,
         string_agg(name, ',' ORDER BY name) FILTER (WHERE setting <> '' AND name IN ('recovery_target', 'recovery_target_lsn',
           'recovery_target_name', 'recovery_target_time', 'recovery_target_xid')) AS targets,
         bool_or(setting <> '') FILTER (WHERE name = 'promote_trigger_file') AS trigger_file
    FROM pg_settings
), cut AS (
  SELECT regexp_replace(CASE WHEN whole !~* '^postgres(ql)?://' THEN whole END, $re$password\s*=\s*('([^'\\]|\\.)*'|(\\.|[^\s\\])*)$re$, '', 'gi') AS info FROM seen
)
SELECT current_setting('listen_addresses')::text AS listen_addresses,
       current_setting('port')::text AS port,
       (has_table_privilege('pg_hba_file_rules', 'SELECT') AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE'))::text AS hba_granted,
       current_setting('superuser_reserved_connections')::text AS superuser_reserved,
       current_setting('reserved_connections', true)::text AS reserved,
       (SELECT count(*) FROM pg_stat_get_activity(NULL) AS a WHERE a.client_port IS NOT NULL)::text AS connections,
       current_setting('primary_slot_name', true)::text AS primary_slot_name,
       (seen.shown > 0)::text AS conninfo_seen,
       (seen.whole <> '')::text AS conninfo_set,
       (seen.whole ~* '^postgres(ql)?://')::text AS conninfo_is_uri,
       btrim(substring(cut.info FROM $re$(?:^|\s)host\s*=\s*('[^']*'|\S+)$re$), '''')::text AS host,
       btrim(substring(cut.info FROM $re$(?:^|\s)hostaddr\s*=\s*('[^']*'|\S+)$re$), '''')::text AS hostaddr,
       btrim(substring(cut.info FROM $re$(?:^|\s)port\s*=\s*('[^']*'|\S+)$re$), '''')::text AS upstream_port,
       btrim(substring(cut.info FROM $re$(?:^|\s)user\s*=\s*('[^']*'|\S+)$re$), '''')::text AS login,
       btrim(substring(cut.info FROM $re$(?:^|\s)application_name\s*=\s*('[^']*'|\S+)$re$), '''')::text AS application_name,
       btrim(substring(cut.info FROM $re$(?:^|\s)sslmode\s*=\s*('[^']*'|\S+)$re$), '''')::text AS sslmode,
       (seen.whole ~* '(password|passfile|sslcert|sslkey)\s*=\s*[^[:space:]]')::text AS has_credential,
       (seen.targets)::text AS recovery_targets,
       (seen.trigger_file)::text AS trigger_file,
       (seen.preload)::text AS preload,
       (seen.hba_file)::text AS hba_file,
       NULL::text AS collation_mismatches,
       (SELECT extract(epoch FROM max(now() - prepared)) FROM pg_prepared_xacts)::text AS oldest_prepared,
       (SELECT count(*) FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)
         WHERE NOT s.ssl AND r.client_addr IS NOT NULL AND NOT r.client_addr <<= '127.0.0.0/8' AND r.client_addr <> '::1')::text AS plain_streams
  FROM seen, cut
