-- What pg_stat_database shows of each database, and of the objects that all share (0). NULL without checksums.
SELECT current_setting('data_checksums')::text AS data_checksums,
       sum(pg_stat_get_db_checksum_failures(database.oid))::text AS failures
  FROM (SELECT oid FROM pg_database UNION ALL SELECT 0::oid) AS database
