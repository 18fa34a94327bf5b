SELECT pg_is_in_recovery()::text AS in_recovery,
       coalesce(sum(confl_tablespace), 0)::text AS tablespace,
       coalesce(sum(confl_lock), 0)::text AS lock,
       coalesce(sum(confl_snapshot), 0)::text AS snapshot,
       coalesce(sum(confl_bufferpin), 0)::text AS bufferpin,
       coalesce(sum(confl_deadlock), 0)::text AS deadlock,
       coalesce(sum(confl_active_logicalslot), 0)::text AS logical_slot
  FROM pg_stat_database_conflicts
