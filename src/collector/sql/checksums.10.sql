-- These servers count no failures.
SELECT current_setting('data_checksums')::text AS data_checksums,
       NULL::text AS failures
