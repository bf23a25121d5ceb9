#!/bin/sh
set -eu
case "${1:-}" in -* | *.conf) set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] || exec "$@"
shift
chown redis:redis /data
exec setpriv --reuid redis --regid redis --init-groups redis-server "$@"
