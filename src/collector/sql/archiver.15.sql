-- The text of archive_command may hold a secret: what it amounts to is decided here, and only that leaves the server.
-- It reads '(disabled)' while archive_mode is off. A library comes before a command.
SELECT archived_count::text AS archived_count,
       last_archived_wal::text AS last_archived_wal,
       extract(epoch FROM last_archived_time)::text AS last_archived_time,
       failed_count::text AS failed_count,
       last_failed_wal::text AS last_failed_wal,
       extract(epoch FROM last_failed_time)::text AS last_failed_time,
       extract(epoch FROM stats_reset)::text AS stats_reset,
       current_setting('archive_mode')::text AS mode,
       CASE WHEN current_setting('archive_mode') = 'off' THEN 'unset'
            WHEN btrim(current_setting('archive_library')) <> '' THEN 'set'
            WHEN btrim(current_setting('archive_command'), E' \t\r\n') = '' THEN 'unset'
            WHEN btrim(current_setting('archive_command'), E' \t\r\n') ~ '^(cd +\.|exit( +0)?|#.*|(:|true|/bin/true|/usr/bin/true|echo|/bin/echo|/usr/bin/echo)( [^][;&|<>`$()\r\n]*)?)( *;)*( +#[^\n]*)?$' THEN 'noop'
            ELSE 'set' END::text AS command,
       extract(epoch FROM clock_timestamp())::text AS server_time
  FROM pg_stat_archiver
