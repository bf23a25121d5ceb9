#!/bin/bash
# Writes .env with a random password for whatever has none there yet. Only its user may read it.
# Postgres, RabbitMQ and Grafana keep the password they were first started with, in their volumes.
set -euo pipefail
cd "$(dirname "$0")/../.."

# In their containers the servers are other users: what they are to read must not be ours alone.
chmod -R a+rX platform/docker platform/observability

umask 077
touch .env
chmod 600 .env
if [ -n "$(tail -c 1 .env)" ]; then
    echo >>.env
fi
for name in POSTGRES PLATFORM EXPORTER RABBITMQ REDIS GRAFANA; do
    if ! grep -q "^${name}_PASSWORD=." .env; then
        echo "${name}_PASSWORD=$(od -An -N 16 -tx1 /dev/urandom | tr -d ' \n')" >>.env
    fi
done
