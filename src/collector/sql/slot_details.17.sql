SELECT slot_name::text AS slot_name,
       slot_type::text AS slot_type,
       age(xmin)::text AS xmin_age,
       age(catalog_xmin)::text AS catalog_xmin_age,
       extract(epoch FROM clock_timestamp() - inactive_since)::text AS inactive_age,
       coalesce(invalidation_reason, 'none')::text AS invalidation,
       two_phase::text AS two_phase,
       failover::text AS failover,
       synced::text AS synced
  FROM pg_replication_slots
 WHERE NOT temporary
