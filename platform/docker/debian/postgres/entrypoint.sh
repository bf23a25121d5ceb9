#!/bin/sh
# Honours what the compose file uses of the official image's start: POSTGRES_PASSWORD,
# POSTGRES_USER, POSTGRES_DB, PGDATA, and /docker-entrypoint-initdb.d when the data is new.
set -eu

case "${1:-postgres}" in -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown postgres:postgres "$PGDATA"
    chmod 0700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}"
    export POSTGRES_USER="${POSTGRES_USER:-postgres}"
    export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    initdb --username="$POSTGRES_USER" --pwfile="$password" \
        --auth-local=trust --auth-host=scram-sha-256 > /dev/null
    rm -f "$password"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    # Nobody comes in from outside before the roles are made.
    pg_ctl --wait --silent --options="-c listen_addresses=''" start
    [ "$POSTGRES_DB" = postgres ] || createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sql) psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file" ;;
            *.sh) sh "$file" ;;
        esac
    done
    pg_ctl --wait --silent --mode=fast stop
fi
exec "$@" -c listen_addresses='*'
