#!/bin/bash
# Writes .env with a random password for whatever has none there yet. Only its user may read it.
# Postgres, RabbitMQ and Grafana keep the password they were first started with, in their volumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077
touch .env
chmod 600 .env
for name in POSTGRES PLATFORM EXPORTER RABBITMQ REDIS GRAFANA; do
    if ! grep -q "^${name}_PASSWORD=." .env; then
        echo "${name}_PASSWORD=$(od -An -N 16 -tx1 /dev/urandom | tr -d ' \n')" >>.env
    fi
done
