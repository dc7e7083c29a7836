#!/usr/bin/env bash
# Makes Debian packages from what "make build" has built: deb.sh FOLDER [VERSION]. Builds nothing but the packages. BUILT names
# the folder with what is built.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
built=$(realpath "${BUILT:-target/release}")
version=${2:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
architecture=$(dpkg-architecture -qDEB_HOST_MULTIARCH)

# The same packages each time: the date is that of the last commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}
export SOURCE_DATE_EPOCH

work=$out/seatmeter-$version
rm -rf "$work"
mkdir -p "$work"
cp -r packaging/debian "$work/debian"
# Who passes packages on names himself: DEBFULLNAME and DEBEMAIL, as for all tools of Debian.
if [ -n "${DEBEMAIL:-}" ]; then
  sed -i "s|^Maintainer: .*|Maintainer: ${DEBFULLNAME:-The seatmeter maintainers} <$DEBEMAIL>|" "$work/debian/control"
fi
awk 'NR == FNR { text = text (/^$/ ? " ." : " " $0) "\n"; next } /^@MIT@$/ { printf "%s", text; next } { print }' \
  LICENSE-MIT packaging/debian/copyright >"$work/debian/copyright"
cat >"$work/debian/changelog" <<EOF
seatmeter ($version) stable; urgency=medium

  * See CHANGELOG.md of the project.

 -- $(sed -n 's/^Maintainer: //p' "$work/debian/control")  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
EOF
BUILT=$built PREFIX=/usr LIBDIR=/usr/lib/$architecture SYSCONFDIR=/etc DESTDIR=$work/installed scripts/install.sh install
# debhelper puts these into their places, and writes the scripts that enable them.
mv "$work/installed/usr/lib/systemd/system/seatmeterd.service" "$work/debian/seatmeterd.service"
mv "$work/installed/usr/lib/sysusers.d/seatmeterd.conf" "$work/debian/seatmeterd.sysusers"
mv "$work/installed/usr/lib/tmpfiles.d/seatmeterd.conf" "$work/debian/seatmeterd.tmpfiles"
echo "making the Debian packages of version $version" >&2
if ! (cd "$work" && dpkg-buildpackage --build=binary --no-sign) >"$out/log" 2>&1; then
  tail -n 40 "$out/log" >&2
  exit 1
fi
rm -rf "$work"
find "$out" -name "*_${version}_*.deb"
