-- The text of a setting names its largest exact unit ('10s', '1500ms', '16MB'), which interval and pg_size_bytes read without loss.
-- Before 12 the settings of recovery lay in recovery.conf, where no query sees them: NULL.
SELECT extract(epoch FROM current_setting('wal_receiver_status_interval')::interval)::text AS wal_receiver_status_interval,
       extract(epoch FROM current_setting('wal_sender_timeout')::interval)::text AS wal_sender_timeout,
       extract(epoch FROM current_setting('wal_receiver_timeout')::interval)::text AS wal_receiver_timeout,
       extract(epoch FROM current_setting('recovery_min_apply_delay', true)::interval)::text AS recovery_min_apply_delay,
       (current_setting('restore_command', true) <> '')::text AS restore_command_set,
       pg_size_bytes(current_setting('wal_segment_size'))::text AS wal_segment_size
