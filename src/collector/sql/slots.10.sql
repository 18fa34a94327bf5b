SELECT slot_name::text AS slot_name,
       slot_type::text AS slot_type,
       temporary::text AS temporary,
       active::text AS active,
       active_pid::text AS active_pid,
       restart_lsn::text AS restart_lsn,
       confirmed_flush_lsn::text AS confirmed_flush_lsn,
       NULL::text AS wal_status,
       NULL::text AS safe_wal_size
  FROM pg_replication_slots
