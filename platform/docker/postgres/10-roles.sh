#!/bin/sh
# Runs once, when the database is made: the platform owns its database and nothing else, and the
# exporter may read statistics only. The superuser is for people.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres \
    --set platform="$PLATFORM_PASSWORD" --set exporter="$EXPORTER_PASSWORD" <<'SQL'
create role task_platform login password :'platform';
create database task_platform owner task_platform;
revoke connect, temporary on database task_platform from public;
create role exporter login password :'exporter' connection limit 5 in role pg_monitor;
grant connect on database task_platform to exporter;
SQL
