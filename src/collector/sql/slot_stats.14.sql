-- What the view pg_stat_replication_slots is made of, which does not tell temporary slots: their names come and go.
SELECT slots.slot_name::text AS slot_name,
       stats.total_txns::text AS total_txns,
       stats.total_bytes::text AS total_bytes,
       stats.spill_txns::text AS spill_txns,
       stats.spill_bytes::text AS spill_bytes,
       stats.stream_txns::text AS stream_txns,
       stats.stream_bytes::text AS stream_bytes
  FROM pg_replication_slots AS slots, pg_stat_get_replication_slot(slots.slot_name) AS stats
 WHERE slots.slot_type = 'logical' AND NOT slots.temporary
