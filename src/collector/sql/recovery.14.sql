-- The role is asked once, so that a promotion between two columns cannot raise an error.
-- replay_lsn is read before receive_lsn, flush_lsn before insert_lsn: the later of each pair is then not behind.
SELECT extract(epoch FROM clock_timestamp())::text AS server_time,
       r.standby::text AS in_recovery,
       pg_last_wal_replay_lsn()::text AS replay_lsn,
       pg_last_wal_receive_lsn()::text AS receive_lsn,
       CASE WHEN NOT r.standby THEN pg_current_wal_flush_lsn() END::text AS flush_lsn,
       CASE WHEN NOT r.standby THEN pg_current_wal_insert_lsn() END::text AS insert_lsn,
       CASE WHEN NOT r.standby THEN left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) END::text AS timeline,
       CASE WHEN r.standby THEN pg_get_wal_replay_pause_state() END::text AS pause,
       extract(epoch FROM pg_last_xact_replay_timestamp())::text AS last_xact_replay,
       extract(epoch FROM pg_postmaster_start_time())::text AS started_at
  FROM (SELECT pg_is_in_recovery() AS standby OFFSET 0) r
