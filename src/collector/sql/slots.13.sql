SELECT slot_name::text AS slot_name,
       slot_type::text AS slot_type,
       temporary::text AS temporary,
       active::text AS active,
       active_pid::text AS active_pid,
       restart_lsn::text AS restart_lsn,
       confirmed_flush_lsn::text AS confirmed_flush_lsn,
       wal_status::text AS wal_status,
       safe_wal_size::text AS safe_wal_size
  FROM pg_replication_slots
