#!/bin/bash
# Installs Chromium, in which the tests look at the pages, from the distribution's packages (Debian,
# Ubuntu; as root). Does nothing, at once, when it is there. Where it cannot be installed, people are
# told so and the tests that need it are skipped; CI fails.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done

give_up() {
    echo "The tests of the pages need Chromium, which is missing: $1" >&2
    echo "On Debian or Ubuntu: sudo apt-get install chromium" >&2
    echo "Elsewhere, install it with your package manager and put it on PATH." >&2
    if [ -n "${CI:-}" ]; then
        exit 1
    fi
    exit 0
}

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    give_up "only root can install it here, with apt-get"
fi

export DEBIAN_FRONTEND=noninteractive
echo "Installing chromium …"
apt-get -qq -o DPkg::Lock::Timeout=300 update || give_up "apt-get update failed"
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends chromium >/dev/null ||
    give_up "apt-get could not install it"
