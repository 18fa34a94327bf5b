SELECT num_timed::text AS num_timed,
       num_requested::text AS num_requested,
       restartpoints_timed::text AS restartpoints_timed,
       restartpoints_req::text AS restartpoints_req,
       restartpoints_done::text AS restartpoints_done,
       write_time::text AS write_time,
       sync_time::text AS sync_time,
       buffers_written::text AS buffers_written
  FROM pg_stat_checkpointer
