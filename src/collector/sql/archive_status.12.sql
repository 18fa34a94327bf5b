SELECT count(*)::text AS ready,
       extract(epoch FROM clock_timestamp() - min(modification))::text AS oldest_ready_age
  FROM pg_ls_archive_statusdir()
 WHERE name LIKE '%.ready'
