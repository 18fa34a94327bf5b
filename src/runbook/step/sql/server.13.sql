-- One row, on a primary and on a standby. The role is asked once, so that a promotion between two columns cannot raise an error.
-- replay_lsn is read before receive_lsn: the later is then not behind.
SELECT r.standby::text AS in_recovery,
       s.system_identifier::text AS system_identifier,
       CASE WHEN NOT r.standby THEN left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) END::text AS written_timeline,
       greatest(c.timeline_id, e.min_recovery_end_timeline)::text AS control_timeline,
       CASE WHEN NOT r.standby THEN pg_current_wal_flush_lsn() END::text AS flush_lsn,
       pg_last_wal_replay_lsn()::text AS replay_lsn,
       pg_last_wal_receive_lsn()::text AS receive_lsn,
       CASE WHEN r.standby THEN pg_is_wal_replay_paused() END::text AS replay_paused,
       (w.pid IS NOT NULL)::text AS has_receiver,
       w.status::text AS receiver_status,
       w.received_tli::text AS received_tli,
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::text AS silent,
       w.sender_host::text AS sender_host,
       w.sender_port::text AS sender_port,
       g.receiver_timeout::text AS receiver_timeout,
       g.apply_delay::text AS apply_delay,
       current_setting('synchronous_standby_names')::text AS synchronous_standby_names
  FROM (SELECT pg_is_in_recovery() AS standby OFFSET 0) r
 CROSS JOIN pg_control_system() s
 CROSS JOIN pg_control_checkpoint() c
 CROSS JOIN pg_control_recovery() e
 CROSS JOIN (SELECT max(setting) FILTER (WHERE name = 'wal_receiver_timeout') AS receiver_timeout,
                    max(setting) FILTER (WHERE name = 'recovery_min_apply_delay') AS apply_delay
               FROM pg_settings
              WHERE name IN ('wal_receiver_timeout', 'recovery_min_apply_delay')) g
  LEFT JOIN pg_stat_wal_receiver w ON true
