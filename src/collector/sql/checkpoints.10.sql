-- These servers count a standby's restartpoints as checkpoints.
SELECT checkpoints_timed::text AS num_timed,
       checkpoints_req::text AS num_requested,
       NULL::text AS restartpoints_timed,
       NULL::text AS restartpoints_req,
       NULL::text AS restartpoints_done,
       checkpoint_write_time::text AS write_time,
       checkpoint_sync_time::text AS sync_time,
       buffers_checkpoint::text AS buffers_written
  FROM pg_stat_bgwriter
