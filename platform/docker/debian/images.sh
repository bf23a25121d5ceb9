#!/bin/bash
# Builds, with no image registry, what docker-compose.debian.yml names: localhost/task-platform/…
#   base:trixie    a minimal Debian made by debootstrap, and
#   python:trixie, postgres:17, …    on it, each from Debian's packages by the Dockerfile of its folder.
# What was built from the very same files is kept. The images hold the address of this site's mirror
# and the certificates it trusts: never push them anywhere.
# MIRROR: where the packages come from; the one that this machine's apt uses unless given.
set -euo pipefail
cd "$(dirname "$0")"
readonly SUITE=trixie
readonly NAMES=localhost/task-platform
readonly LABEL=task-platform.version
readonly IMAGES=(
    python:$SUITE postgres:17 rabbitmq:4.0 redis:8.0 prometheus:2.53 postgres-exporter:0.17 alertmanager:0.28
)

# What an image is made from, as one word.
version_of() {
    cat images.sh "$@" | sha256sum | cut -c 1-12
}

is_built() {
    local image=$1 version=$2
    [ "$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$image" 2>/dev/null)" = "$version" ]
}

find_mirror() {
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk '$1 ~ /debian\/?$/ && $3 == "main" && $2 !~ /security/ {print $1; exit}'
}

make_base() {
    local version mirror root certificate
    version=$(version_of)
    if is_built $NAMES/base:$SUITE "$version"; then return; fi
    mirror=${MIRROR:-$(find_mirror)}
    if [ -z "$mirror" ]; then
        echo "No Debian mirror found: set MIRROR." >&2
        exit 1
    fi
    echo "Making a base image of Debian $SUITE …"
    root=$(mktemp -d)
    # shellcheck disable=SC2064  # this folder, whatever the variable holds later
    trap "rm -rf '$root'" EXIT
    # mktemp keeps others out, and the image's / would do so too.
    chmod 755 "$root"
    debootstrap --variant=minbase --include=ca-certificates $SUITE "$root" "$mirror" >/dev/null
    printf 'deb %s %s main\n' "$mirror" $SUITE "$mirror" $SUITE-updates >"$root/etc/apt/sources.list"
    # Packages start no services while they are installed.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # Neither package archives nor documentation stay in a layer.
    cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT
    printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$root/etc/dpkg/dpkg.cfg.d/slim"
    # A certificate that this site added (of a proxy, of a private index) is trusted inside as well.
    for certificate in /usr/local/share/ca-certificates/*.crt; do
        if [ -e "$certificate" ]; then
            cp "$certificate" "$root/usr/local/share/ca-certificates/"
        fi
    done
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/usr/share/{doc,man,locale}/*
    tar -C "$root" --one-file-system -c . | docker import --change 'CMD ["bash"]' \
        --change 'ENV DEBIAN_FRONTEND=noninteractive' \
        --change "LABEL $LABEL=$version" - $NAMES/base:$SUITE >/dev/null
}

build() {
    local image=$1 folder=${1%%:*} version log
    version=$(version_of "$folder"/*)
    if is_built "$NAMES/$image" "$version"; then return; fi
    echo "Building $NAMES/$image …"
    log=$(mktemp)
    # The engine's old builder: the new one would ask a registry for the base image.
    if ! DOCKER_BUILDKIT=0 docker build --tag "$NAMES/$image" --label "$LABEL=$version" "$folder" \
        >"$log" 2>&1; then
        echo "Building $NAMES/$image failed:" >&2
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

make_base
builds=()
for image in "${IMAGES[@]}"; do
    build "$image" &
    builds+=($!)
done
for pid in "${builds[@]}"; do
    wait "$pid"
done
