-- The role that pgvigil logs in as. Run it once as a superuser on the primary (psql -d postgres -f grants.sql); the standbys get
-- it by replication. Running it again does no harm. Then give the role a password (\password pgvigil), or let it log in by
-- certificate, and allow it in pg_hba.conf of every node.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgvigil') THEN
    CREATE ROLE pgvigil;
  END IF;
END
$$;

-- One pgvigil keeps two connections to a node and opens a third for a moment every login_interval, to see whether people can
-- still log in. After a cut-off the server may hold the old ones for a while: hence two to spare. With a second observer, double it.
ALTER ROLE pgvigil LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 5;

-- Needed only where CONNECT was taken from PUBLIC; name the database of the DSN.
GRANT CONNECT ON DATABASE postgres TO pgvigil;

-- Without pg_monitor the role sees rows whose cells are NULL, and pgvigil says so instead of showing a lag of 0. Then missing are:
--   pg_stat_replication          pgvigil_walsender_state, pgvigil_walsender_sync_state, pgvigil_walsender_lag_seconds,
--                                pgvigil_walsender_lag_bytes, pgvigil_walsender_reply_timestamp_seconds,
--                                pgvigil_walsender_start_time_seconds, pgvigil_walsenders, pgvigil_walsender_sync_priority,
--                                pgvigil_walsender_xmin_age_transactions, pgvigil_walsender_slot_info,
--                                pgvigil_walsender_reply_age_seconds, pgvigil_walsender_reply_age_ratio,
--                                pgvigil_walsender_reconnects_total
--   pg_stat_wal_receiver         pgvigil_wal_receiver_up, pgvigil_wal_receiver_state,
--                                pgvigil_wal_receiver_last_message_age_seconds, pgvigil_wal_receiver_message_age_ratio,
--                                pgvigil_wal_receiver_last_message_send_timestamp_seconds,
--                                pgvigil_wal_receiver_last_message_receipt_timestamp_seconds,
--                                pgvigil_wal_receiver_position_bytes, pgvigil_wal_receiver_latest_end_timestamp_seconds,
--                                pgvigil_wal_receiver_timeline, pgvigil_wal_receiver_slot_info,
--                                pgvigil_wal_receiver_starts_total, pgvigil_node_timeline of a standby, and its
--                                pgvigil_standby_upstream is told by walsenders alone
--   pg_stat_progress_basebackup  pgvigil_base_backup_phase, pgvigil_base_backup_streamed_bytes,
--                                pgvigil_base_backup_estimated_bytes, pgvigil_base_backup_tablespaces, and pgvigil_base_backups
--                                but for 0
--   pg_ls_archive_statusdir()    pgvigil_archive_ready_segments, pgvigil_archive_oldest_ready_age_seconds,
--                                pgvigil_archive_lag_bytes, pgvigil_archive_lag_seconds, and
--                                pgvigil_archive_state cannot tell ok or hung from unknown
--   pg_ls_waldir()               pgvigil_wal_dir_bytes, pgvigil_wal_dir_segments, pgvigil_wal_oldest_position_bytes, and
--                                pgvigil_standby_needs_rebuild stays unknown unless the standby streams
--   pg_stat_activity             pgvigil_sync_waiting_backends, pgvigil_sync_longest_wait_seconds, pgvigil_replay_wait, and
--                                pgvigil_sync_quorum of a primary and pgvigil_recovery_source of a standby stay unknown
--   pg_settings                  pgvigil_settings_pending_restart, which counts settings that only pg_monitor sees
-- Everything else needs no grant: positions, recovery, conflicts, slots, the archiver's counters, the control file, what WAL was
-- written, checkpoints, prefetching, checksums.
--
-- The checks hba_replication and hba_error read pg_hba_file_rules, which pg_monitor does not give; without it they are unknown:
--   GRANT SELECT ON pg_hba_file_rules TO pgvigil; GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO pgvigil;
--
-- pg_monitor can also read primary_conninfo, which on a standby may hold the replication password in clear. The doctor's checks take
-- host, port, user and names out of it on the server, after the password was cut off; where the role itself must not be able to read
-- it, keep that password in a passfile.
GRANT pg_monitor TO pgvigil;
