#!/bin/bash
# Installs the servers that the native runtime runs as processes of its own: PostgreSQL, RabbitMQ,
# Redis and Prometheus, from the distribution's packages (Debian, Ubuntu; as root).
# Does nothing, at once, when all are there. The packages' own default instances are not started,
# and whatever runs already is left alone.
set -euo pipefail

PACKAGES=(rabbitmq-server postgresql redis-server prometheus)
POLICY=/usr/sbin/policy-rc.d
EPMD_PORT=4369

missing() {
    local package
    for package in "${PACKAGES[@]}"; do
        case $package in
            postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb ;;
            rabbitmq-server) ls /usr/lib/rabbitmq/bin/rabbitmq-server ;;
            *) command -v "$package" ;;
        esac >/dev/null 2>&1 || echo "$package"
    done
}

# Erlang's name server, which the rabbitmq package leaves running although its broker is not.
default_epmd_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$EPMD_PORT") 2>/dev/null
}

restore_policy() {
    rm -f "$POLICY"
    if [ -n "$kept_policy" ]; then
        mv "$kept_policy" "$POLICY"
    fi
}

absent=$(missing | xargs)
if [ -z "$absent" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "These servers are missing: $absent" >&2
    echo "On Debian or Ubuntu: sudo $0" >&2
    echo "Elsewhere, install PostgreSQL (14 or later), RabbitMQ (3.10 or later), Redis and" \
        "Prometheus with your package manager; they need not run." >&2
    exit 1
fi

epmd_was_there=false
if default_epmd_answers; then
    epmd_was_there=true
fi

# The packages would start their default instances; exit code 101 of this file forbids it.
kept_policy=
if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then
    kept_policy=$(mktemp "$POLICY.XXXXXX")
    mv -f "$POLICY" "$kept_policy"
fi
trap restore_policy EXIT
printf '#!/bin/sh\nexit 101\n' >"$POLICY"
chmod 755 "$POLICY"

export DEBIAN_FRONTEND=noninteractive
echo "Installing $absent …"
apt-get -qq -o DPkg::Lock::Timeout=300 update
# Unquoted on purpose: one word a package.
# shellcheck disable=SC2086
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $absent >/dev/null

if [ "$epmd_was_there" = false ] && default_epmd_answers; then
    # Refused by epmd itself should a broker have registered with it meanwhile.
    epmd -kill >/dev/null 2>&1 || true
fi

absent=$(missing | xargs)
if [ -n "$absent" ]; then
    echo "Still missing after the installation: $absent" >&2
    exit 1
fi
