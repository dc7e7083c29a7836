#!/usr/bin/env bash
# Makes RPM packages from what "make build" or "make portable" has built: rpm.sh FOLDER. Builds nothing but the packages. BUILT names
# the folder with what is built. What "make build" makes needs the glibc of this machine; for other systems, pack BUILT of
# "make portable".
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
built=$(realpath "${BUILT:-target/release}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The same packages each time: the date is that of the last commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}
export SOURCE_DATE_EPOCH

# The families of RPM have libraries of 64 bits in a folder of their own.
libdir=/usr/lib64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
BUILT=$built PREFIX=/usr LIBDIR=$libdir SYSCONFDIR=/etc DESTDIR=$work/installed scripts/install.sh install
sed -e "s|@VERSION@|$version|" -e "s|@INSTALLED@|$work/installed|" -e "s|@LIBDIR@|$libdir|" packaging/seatmeter.spec.in \
  >"$work/seatmeter.spec"
echo "making the RPM packages of version $version" >&2
if ! rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_buildhost localhost" --define "_sysconfdir /etc" \
  --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
  "$work/seatmeter.spec" >"$out/log" 2>&1; then
  tail -n 40 "$out/log" >&2
  exit 1
fi
find "$work/rpm/RPMS" -name '*.rpm' -exec mv -t "$out" {} +
ls "$out"/*.rpm
