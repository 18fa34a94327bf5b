-- Through a pooler too: whoever gets this transaction answers.
SELECT extract(epoch FROM pg_postmaster_start_time())::text AS started_at,
       pg_is_in_recovery()::text AS in_recovery,
       (current_setting('default_transaction_read_only') = 'on')::text AS read_only
