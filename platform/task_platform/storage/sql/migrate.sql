-- name: create_schema_migrations
-- The list of applied migrations.
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
);

-- name: lock_migrations
-- Wait until no other process migrates; held until the session ends.
-- $1 key bigint
select pg_advisory_lock($1);

-- name: applied_migrations
-- Versions that were applied.
select version from schema_migrations;

-- name: record_migration
-- Remember an applied migration.
-- $1 version integer, $2 name text
insert into schema_migrations (version, name) values ($1, $2);
