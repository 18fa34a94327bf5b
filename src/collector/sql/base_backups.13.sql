SELECT phase::text AS phase,
       backup_total::text AS backup_total,
       backup_streamed::text AS backup_streamed,
       tablespaces_total::text AS tablespaces_total,
       tablespaces_streamed::text AS tablespaces_streamed
  FROM pg_stat_progress_basebackup
