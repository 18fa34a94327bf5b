-- These servers fetch nothing ahead of replay.
SELECT NULL::text AS in_recovery,
       NULL::text AS prefetch,
       NULL::text AS hit,
       NULL::text AS skip_init,
       NULL::text AS skip_new,
       NULL::text AS skip_fpw,
       NULL::text AS skip_rep,
       NULL::text AS wal_distance,
       NULL::text AS block_distance,
       NULL::text AS io_depth
 WHERE false
