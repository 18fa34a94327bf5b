SELECT pid::text AS pid,
       application_name::text AS application_name,
       state::text AS state,
       sent_lsn::text AS sent_lsn,
       write_lsn::text AS write_lsn,
       flush_lsn::text AS flush_lsn,
       replay_lsn::text AS replay_lsn,
       extract(epoch FROM write_lag)::text AS write_lag,
       extract(epoch FROM flush_lag)::text AS flush_lag,
       extract(epoch FROM replay_lag)::text AS replay_lag,
       sync_state::text AS sync_state,
       NULL::text AS reply_time,
       extract(epoch FROM backend_start)::text AS backend_start
  FROM pg_stat_replication
