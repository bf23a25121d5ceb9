#!/bin/bash
# Everything that the compose stack needs on a Debian machine which reaches no image registry, as
# root: a container engine, compose v2, and images made of Debian packages. What is there already is
# kept; nothing is published, and the images must not be (see images.sh).
#
#   engine.sh        installs and starts what is missing, and notes the override file in .env
#   engine.sh stop   ends an engine that was started here, and nothing else
set -euo pipefail
cd "$(dirname "$0")"
readonly PROJECT=$PWD/../../..
readonly PID_FILE=/run/task-platform-dockerd.pid
readonly LOG=/var/log/task-platform-dockerd.log
readonly PLUGINS=/usr/local/lib/docker/cli-plugins
readonly ANSWERS_WITHIN_S=60
readonly OLDEST_COMPOSE=2.24

engine_answers() {
    docker info >/dev/null 2>&1
}

install_packages() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v iptables >/dev/null || missing+=(iptables)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    if [ ${#missing[@]} = 0 ] && command -v docker >/dev/null; then return; fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    # The client is a package of its own from Debian 13 on.
    if ! command -v docker >/dev/null && [ -n "$(apt-cache search --names-only '^docker-cli$')" ]; then
        missing+=(docker-cli)
    fi
    echo "Installing ${missing[*]} …"
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" \
        >/dev/null
}

# A machine with an init system has started the engine by now; here nobody else would.
start_engine() {
    if engine_answers; then return; fi
    echo "Starting the container engine (its log: $LOG) …"
    setsid dockerd --pidfile "$PID_FILE" >>"$LOG" 2>&1 </dev/null &
    local deadline=$((SECONDS + ANSWERS_WITHIN_S))
    until engine_answers; do
        if [ "$SECONDS" -gt "$deadline" ] || ! kill -0 $! 2>/dev/null; then
            echo "The container engine does not answer; its log ends with:" >&2
            tail -n 5 "$LOG" >&2
            exit 1
        fi
        sleep 0.2
    done
}

has_compose() {
    local version
    version=$(docker compose version --short 2>/dev/null) &&
        printf '%s\n' "$OLDEST_COMPOSE" "${version#v}" | sort --version-sort --check=quiet
}

# Debian 12's own docker-compose is the old version 1. The plugin of the next release runs here too.
install_compose() {
    if has_compose; then return; fi
    echo "Installing compose v2 from Debian's package …"
    local scratch
    scratch=$(mktemp -d)
    docker run --rm --volume "$scratch:/out" --workdir /out localhost/task-platform/base:trixie sh -c \
        'apt-get -qq update && chmod 777 . && apt-get -qq download docker-compose' >/dev/null
    dpkg-deb --extract "$scratch"/docker-compose_*.deb "$scratch"
    install -D -m 755 "$scratch/usr/libexec/docker/cli-plugins/docker-compose" \
        "$PLUGINS/docker-compose"
    rm -rf "$scratch"
    docker compose version
}

note_override() {
    bash ../env.sh
    grep -q '^COMPOSE_FILE=' "$PROJECT/.env" ||
        echo 'COMPOSE_FILE=docker-compose.yml:docker-compose.debian.yml' >>"$PROJECT/.env"
}

stop_engine() {
    if [ ! -e "$PID_FILE" ]; then return; fi
    local pid
    pid=$(cat "$PID_FILE")
    # The file of an engine that was killed: the number may be another process's by now.
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dockerd ]; then return; fi
    kill "$pid"
    local deadline=$((SECONDS + ANSWERS_WITHIN_S))
    while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
}

case "${1:-start}" in
    start)
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "This sets up a Debian machine, as root. Elsewhere, install Docker with compose v2." >&2
            exit 1
        fi
        install_packages
        start_engine
        bash images.sh
        install_compose
        note_override
        ;;
    stop) stop_engine ;;
    *)
        echo "usage: $0 [start|stop]" >&2
        exit 64
        ;;
esac
