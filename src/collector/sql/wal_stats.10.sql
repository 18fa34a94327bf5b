-- These servers count no WAL.
SELECT NULL::text AS wal_records,
       NULL::text AS wal_fpi,
       NULL::text AS wal_bytes,
       NULL::text AS wal_buffers_full,
       NULL::text AS wal_write,
       NULL::text AS wal_sync,
       NULL::text AS wal_write_time,
       NULL::text AS wal_sync_time
 WHERE false
