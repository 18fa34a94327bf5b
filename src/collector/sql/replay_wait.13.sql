-- To a role that may not read the statistics of others, the row of the startup process looks like any other: it is not found.
SELECT pg_is_in_recovery()::text AS in_recovery,
       pg_has_role(current_user, 'pg_read_all_stats', 'usage')::text AS allowed,
       (startup.pid IS NOT NULL)::text AS found,
       startup.wait_event_type::text AS wait_event_type,
       startup.wait_event::text AS wait_event
  FROM (SELECT 1) AS always LEFT JOIN pg_stat_activity AS startup ON startup.backend_type = 'startup'
 LIMIT 1
