-- Without track_wal_io_timing the times are 0, or what they were when it was last on.
SELECT wal_records::text AS wal_records,
       wal_fpi::text AS wal_fpi,
       wal_bytes::text AS wal_bytes,
       wal_buffers_full::text AS wal_buffers_full,
       wal_write::text AS wal_write,
       wal_sync::text AS wal_sync,
       CASE WHEN current_setting('track_wal_io_timing')::boolean THEN wal_write_time END::text AS wal_write_time,
       CASE WHEN current_setting('track_wal_io_timing')::boolean THEN wal_sync_time END::text AS wal_sync_time
  FROM pg_stat_wal
