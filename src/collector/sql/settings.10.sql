-- One pass over all settings, because only pg_settings tells pending_restart. Of a text nothing leaves the server but which of two
-- words it is. Before 12 the settings of recovery lay in recovery.conf, where no query sees them: no rows, and NULL.
SELECT name::text AS name,
       CASE WHEN vartype <> 'string' OR setting IN ('latest', 'current') THEN setting ELSE 'fixed' END::text AS setting,
       unit::text AS unit,
       CASE WHEN context = 'postmaster' THEN pending_restart END::text AS pending_restart,
       (current_setting('restore_command', true) <> '')::text AS restore_command_set,
       pg_has_role(current_user, 'pg_read_all_settings', 'usage')::text AS sees_all
  FROM pg_settings
 WHERE pending_restart
    OR name IN ('archive_mode', 'archive_timeout', 'checkpoint_completion_target', 'checkpoint_timeout', 'checkpoint_warning',
                'data_checksums', 'fsync', 'full_page_writes', 'hot_standby', 'hot_standby_feedback',
                'idle_replication_slot_timeout', 'logical_decoding_work_mem', 'max_connections', 'max_locks_per_transaction',
                'max_logical_replication_workers', 'max_prepared_transactions', 'max_replication_slots',
                'max_slot_wal_keep_size', 'max_standby_archive_delay', 'max_standby_streaming_delay', 'max_wal_senders',
                'max_wal_size', 'max_worker_processes', 'min_wal_size', 'recovery_min_apply_delay',
                'recovery_target_timeline', 'summarize_wal', 'sync_replication_slots', 'synchronous_commit',
                'track_commit_timestamp', 'wal_buffers', 'wal_compression', 'wal_keep_segments', 'wal_keep_size',
                'wal_level', 'wal_log_hints', 'wal_receiver_status_interval', 'wal_receiver_timeout',
                'wal_retrieve_retry_interval', 'wal_segment_size', 'wal_sender_timeout', 'wal_summary_keep_time')
