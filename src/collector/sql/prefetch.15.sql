SELECT pg_is_in_recovery()::text AS in_recovery,
       prefetch::text AS prefetch,
       hit::text AS hit,
       skip_init::text AS skip_init,
       skip_new::text AS skip_new,
       skip_fpw::text AS skip_fpw,
       skip_rep::text AS skip_rep,
       wal_distance::text AS wal_distance,
       block_distance::text AS block_distance,
       io_depth::text AS io_depth
  FROM pg_stat_recovery_prefetch
