#!/bin/sh
set -eu
[ "${1:-}" = rabbitmq-server ] || exec "$@"
shift
chown rabbitmq:rabbitmq /var/lib/rabbitmq
# Debian's wrapper would go through su and stay in between: the server itself gets the signals.
exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups \
    /usr/lib/rabbitmq/bin/rabbitmq-server "$@"
