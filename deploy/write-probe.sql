-- What the write probe writes to: one row for each cluster of pgvigil's config, written again and again. Run it once on the primary, as
-- superuser, in the database of the nodes' admin_dsn; replace pgvigil_admin by the role of the admin_dsn.
--
--   psql -v admin=pgvigil_admin -f write-probe.sql
CREATE SCHEMA IF NOT EXISTS pgvigil;
CREATE TABLE IF NOT EXISTS pgvigil.write_probe (
  cluster    text        PRIMARY KEY,
  beat       bigint      NOT NULL,
  written_at timestamptz NOT NULL
);
GRANT USAGE ON SCHEMA pgvigil TO :"admin";
GRANT SELECT, INSERT, UPDATE ON pgvigil.write_probe TO :"admin";
