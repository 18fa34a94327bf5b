-- The functions below pg_stat_replication: asked for the walsenders' processes alone, the server describes no other.
SELECT w.pid::text AS pid,
       a.application_name::text AS application_name,
       w.state::text AS state,
       w.sent_lsn::text AS sent_lsn,
       w.write_lsn::text AS write_lsn,
       w.flush_lsn::text AS flush_lsn,
       w.replay_lsn::text AS replay_lsn,
       extract(epoch FROM w.write_lag)::text AS write_lag,
       extract(epoch FROM w.flush_lag)::text AS flush_lag,
       extract(epoch FROM w.replay_lag)::text AS replay_lag,
       w.sync_state::text AS sync_state,
       w.sync_priority::text AS sync_priority,
       extract(epoch FROM w.reply_time)::text AS reply_time,
       extract(epoch FROM a.backend_start)::text AS backend_start,
       age(a.backend_xmin)::text AS xmin_age,
       (a.datid IS NOT NULL)::text AS in_database
  FROM pg_stat_get_wal_senders() AS w, pg_stat_get_activity(w.pid) AS a
