-- conninfo is left out: it may hold a password.
SELECT pid::text AS pid,
       status::text AS status,
       receive_start_lsn::text AS receive_start_lsn,
       receive_start_tli::text AS receive_start_tli,
       written_lsn::text AS written_lsn,
       flushed_lsn::text AS flushed_lsn,
       received_tli::text AS received_tli,
       extract(epoch FROM last_msg_send_time)::text AS last_msg_send_time,
       extract(epoch FROM last_msg_receipt_time)::text AS last_msg_receipt_time,
       latest_end_lsn::text AS latest_end_lsn,
       extract(epoch FROM latest_end_time)::text AS latest_end_time,
       slot_name::text AS slot_name,
       sender_host::text AS sender_host,
       sender_port::text AS sender_port
  FROM pg_stat_wal_receiver
