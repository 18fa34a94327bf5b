-- Removed WAL is the only end of a slot that these servers know.
SELECT slot_name::text AS slot_name,
       slot_type::text AS slot_type,
       age(xmin)::text AS xmin_age,
       age(catalog_xmin)::text AS catalog_xmin_age,
       NULL::text AS inactive_age,
       CASE WHEN wal_status = 'lost' THEN 'wal_removed' ELSE 'none' END::text AS invalidation,
       two_phase::text AS two_phase,
       NULL::text AS failover,
       NULL::text AS synced
  FROM pg_replication_slots
 WHERE NOT temporary
