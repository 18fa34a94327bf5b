-- These servers count nothing for a slot.
SELECT slot_name::text AS slot_name,
       NULL::text AS total_txns,
       NULL::text AS total_bytes,
       NULL::text AS spill_txns,
       NULL::text AS spill_bytes,
       NULL::text AS stream_txns,
       NULL::text AS stream_bytes
  FROM pg_replication_slots
 WHERE false
