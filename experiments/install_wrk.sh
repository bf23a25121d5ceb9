#!/bin/bash
# Installs wrk, which sends the bench's single submissions, from the distribution's packages (Debian,
# Ubuntu; as root). Does nothing, at once, when it is there.
set -euo pipefail

if command -v wrk >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "This program is missing: wrk" >&2
    echo "On Debian or Ubuntu: sudo $0" >&2
    echo "Elsewhere, install it with your package manager and put it on PATH." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "Installing wrk …"
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends wrk >/dev/null
