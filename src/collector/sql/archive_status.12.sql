-- The position is read before the directory: a segment that had ended by then is in the list, or no longer waits.
-- Of the names only the oldest segment of each timeline is told. Those of segments are as long as no other's.
SELECT coalesce(sum(w.ready), 0)::text AS ready,
       extract(epoch FROM p.at - min(w.oldest))::text AS oldest_ready_age,
       string_agg(w.segment, ',')::text AS oldest_segments,
       p.lsn::text AS position_lsn,
       extract(epoch FROM p.at)::text AS server_time
  FROM (SELECT clock_timestamp() AS at,
               CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                    ELSE pg_current_wal_flush_lsn() END AS lsn
        OFFSET 0) p
  LEFT JOIN LATERAL (SELECT count(*) AS ready,
                            min(modification) AS oldest,
                            left(min(name COLLATE "C") FILTER (WHERE length(name) = 30), 24) AS segment
                       FROM pg_ls_archive_statusdir()
                      WHERE name LIKE '%.ready' AND p.at IS NOT NULL
                      GROUP BY left(name, 8)) w ON true
 GROUP BY p.at, p.lsn
