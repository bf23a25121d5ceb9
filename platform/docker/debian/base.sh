#!/bin/bash
# Builds, with no image registry, the two images that the stand-ins stand on:
#   task-platform-debian/base:trixie     a minimal Debian made by debootstrap
#   task-platform-debian/python:trixie   the same with Debian's Python
# Does nothing if they were built by this very script. They hold the address of this site's mirror
# and the certificates it trusts: never push them anywhere.
# MIRROR: where the packages come from; the one that this machine's apt uses unless given.
set -euo pipefail
cd "$(dirname "$0")"
readonly SUITE=trixie
readonly BASE=task-platform-debian/base:$SUITE
readonly PYTHON=task-platform-debian/python:$SUITE
version=$(cat base.sh python/Dockerfile | sha256sum | cut -c 1-12)

label() {
    docker image inspect --format '{{index .Config.Labels "task-platform.version"}}' "$1" 2>/dev/null
}

if [ "$(label $BASE)" = "$version" ] && [ "$(label $PYTHON)" = "$version" ]; then
    exit 0
fi

mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' | awk '$1 ~ /debian\/?$/ && $3 == "main" && $2 !~ /security/ {print $1; exit}')}
if [ -z "$mirror" ]; then
    echo "No Debian mirror found: set MIRROR." >&2
    exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# mktemp keeps others out, and the image's / would do so too.
chmod 755 "$root"
echo "Making a base image of Debian $SUITE …"
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
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/var/log/*.log "$root"/usr/share/{doc,man,locale}/*
tar -C "$root" --one-file-system -c . | docker import --change 'CMD ["bash"]' \
    --change 'ENV DEBIAN_FRONTEND=noninteractive' \
    --change "LABEL task-platform.version=$version" - $BASE >/dev/null
DOCKER_BUILDKIT=0 docker build --quiet --tag $PYTHON --label "task-platform.version=$version" python >/dev/null
