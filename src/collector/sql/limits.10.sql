-- Of pg_stat_replication only the number of rows is wanted, which is that of the function beneath it.
SELECT (SELECT count(*) FROM pg_replication_slots)::text AS slots_used,
       current_setting('max_replication_slots')::text AS slots_limit,
       count(*)::text AS walsenders_used,
       current_setting('max_wal_senders')::text AS walsenders_limit
  FROM pg_stat_get_wal_senders()
