-- One row even where nobody waits. No view tells when a wait began: it was after each of these three moments.
-- Rows of other roles hide their wait event from a role without pg_read_all_stats, which comes with pg_monitor.
SELECT current_setting('synchronous_standby_names')::text AS standby_names,
       current_setting('synchronous_commit')::text AS synchronous_commit,
       pg_has_role(current_user, 'pg_read_all_stats', 'usage')::text AS sees_all,
       extract(epoch FROM statement_timestamp())::text AS server_time,
       a.pid::text AS waiting_pid,
       extract(epoch FROM greatest(a.xact_start, a.query_start, a.state_change))::text AS busy_since
  FROM (SELECT 1) one LEFT JOIN pg_stat_activity a ON a.wait_event_type = 'IPC' AND a.wait_event = 'SyncRep'
