#!/usr/bin/env bash
# Tries the Debian packages in clean systems: test-deb.sh FOLDER. Makes the packages in two versions, checks them with lintian, and
# goes through the life of an installation in a fresh system of each of SUITES: scripts/test-deb-inside.sh. Needs root, and an
# archive of Debian (MIRROR).
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
earlier=$version~earlier

[ "$(id -u)" -eq 0 ] || { echo "test-deb makes whole systems with debootstrap: run it as root" >&2; exit 1; }
scripts/tools.sh debootstrap=debootstrap lintian=lintian dh=debhelper dpkg-buildpackage=dpkg-dev
rm -rf "$out/packages"
scripts/deb.sh "$out/packages" "$earlier" >/dev/null
scripts/deb.sh "$out/packages" "$version" >/dev/null
echo "checking the packages with lintian" >&2
# Whoever publishes the packages gives the address: DEBEMAIL.
lintian --fail-on error,warning --allow-root --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
  "$out/packages/seatmeter_${version}_$(dpkg --print-architecture).changes"

for suite in ${SUITES:-bookworm trixie}; do
  root=$(scripts/clean-system.sh "$suite" "$out")
  mkdir "$root/try"
  cp "$out/packages"/*.deb scripts/test-deb-inside.sh c_examples/documented_snippet.cpp c_examples/own_decoder.c \
    c_examples/images/four_barcodes.png "$root/try/"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  echo "the life of an installation in Debian $suite" >&2
  # In namespaces of its own: what is mounted and started there ends with it.
  unshare --mount --pid --fork --kill-child sh -euc "mount -t proc proc '$root/proc'
    exec chroot '$root' bash /try/test-deb-inside.sh '$earlier' '$version'"
  rm -rf "$root"
done
echo "the packages are good" >&2
