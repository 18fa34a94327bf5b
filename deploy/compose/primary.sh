#!/bin/bash
# Run once, by the image, when the primary is made.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -U postgres -d postgres -f /grants.sql
psql -v ON_ERROR_STOP=1 -U postgres -d postgres <<'SQL'
ALTER ROLE pgvigil PASSWORD 'demo';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'demo';
SELECT pg_create_physical_replication_slot('standby', true);
SQL
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"
