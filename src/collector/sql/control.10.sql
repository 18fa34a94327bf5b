-- On a primary the end of recovery reads 0.
SELECT s.system_identifier::text AS system_identifier,
       c.timeline_id::text AS checkpoint_timeline,
       nullif(r.min_recovery_end_timeline, 0)::text AS min_recovery_end_timeline,
       nullif(r.min_recovery_end_lsn, '0/0')::text AS min_recovery_end_lsn,
       c.redo_lsn::text AS redo_lsn,
       extract(epoch FROM c.checkpoint_time)::text AS checkpoint_time
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r
