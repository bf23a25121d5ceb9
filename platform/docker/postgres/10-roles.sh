#!/bin/sh
# Runs once, when the database is made: the platform owns its database and nothing else, and the
# exporter may read statistics only. The superuser is for people.
# Passwords are read from the environment: command lines can be read by everybody on the machine, and
# statements that are slow or fail are logged unless that is switched off.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv platform PLATFORM_PASSWORD
\getenv exporter EXPORTER_PASSWORD
set log_min_duration_statement = -1;
set log_min_error_statement = panic;
create role task_platform login password :'platform';
create database task_platform owner task_platform;
revoke connect, temporary on database task_platform from public;
create role exporter login password :'exporter' connection limit 5 in role pg_monitor;
grant connect on database task_platform to exporter;
SQL
