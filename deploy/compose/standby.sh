#!/bin/bash
# A copy of the primary the first time, then its standby.
set -euo pipefail
data=/var/lib/postgresql/data
if [ ! -s "$data/standby.signal" ]; then
    find "$data" -mindepth 1 -delete
    chmod 700 "$data"
    pg_basebackup -d "host=primary user=replicator application_name=standby" -D "$data" -S standby -X stream -R -c fast
fi
exec postgres -D "$data"
