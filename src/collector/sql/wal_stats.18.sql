-- Writes and syncs moved to pg_stat_io, whose function this is. Its context init is the zeroing of new files, which older servers do not
-- count. Without track_wal_io_timing the times are 0, or what they were when it was last on.
SELECT wal.wal_records::text AS wal_records,
       wal.wal_fpi::text AS wal_fpi,
       wal.wal_bytes::text AS wal_bytes,
       wal.wal_buffers_full::text AS wal_buffers_full,
       io.writes::text AS wal_write,
       io.fsyncs::text AS wal_sync,
       CASE WHEN current_setting('track_wal_io_timing')::boolean THEN io.write_time END::text AS wal_write_time,
       CASE WHEN current_setting('track_wal_io_timing')::boolean THEN io.fsync_time END::text AS wal_sync_time
  FROM pg_stat_wal AS wal,
       (SELECT sum(writes) AS writes, sum(fsyncs) AS fsyncs, sum(write_time) AS write_time, sum(fsync_time) AS fsync_time
          FROM pg_stat_get_io() WHERE object = 'wal' AND context = 'normal') AS io
