#!/usr/bin/env bash
# Runs the portable binaries in old and new systems: test-portable.sh BUILT FOLDER. In a clean system of each of SUITES it starts the
# server with a demo license, runs a program that is linked to the library and reads four barcodes, the doctor, and a program
# that is linked to the archive. Needs root, and an archive of Debian (MIRROR).
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")

[ "$(id -u)" -eq 0 ] || { echo "test-portable makes whole systems with debootstrap: run it as root" >&2; exit 1; }
scripts/tools.sh debootstrap=debootstrap
# Programs of this machine would need its own glibc: the compiler is the one that has built the library.
zig="$(dirname "$built")/../tools/bin/python"
target=$(uname -m)-linux-gnu.${GLIBC:-2.28}
mkdir -p "$out/try"
compile() { "$zig" -m ziglang "$1" -target "$target" -Iinclude "${@:2}"; }
compile c++ c_examples/documented_snippet.cpp -Iinclude/dbr -L"$built" -lseatmeter -o "$out/try/snippet"
compile cc c_examples/own_decoder.c "$built/libseatmeter.a" -lm -o "$out/try/own_decoder"
cp "$built"/libseatmeter.so "$built"/seatmeterd "$built"/seatmeter-doctor c_examples/images/four_barcodes.png "$out/try/"
ln -sf libseatmeter.so "$out/try/libseatmeter.so.0"
cat >"$out/try/inside.sh" <<'EOF'
set -eu
cd /try
export LD_LIBRARY_PATH=/try SEATMETER_STATE_DIR=/tmp/device SEATMETER_SERVER=http://127.0.0.1:48080
ip link set lo up 2>/dev/null || true
./seatmeterd init --demo --data /tmp/data >/dev/null
./seatmeterd serve --data /tmp/data >/tmp/serving &
server=$!
for _ in $(seq 100); do grep -q 'listening on' /tmp/serving && break; sleep 0.1; done
./snippet four_barcodes.png
./own_decoder
./seatmeter-doctor
kill "$server"
wait "$server"
./seatmeterd usage sum --by kind --data /tmp/data
EOF

for suite in ${SUITES:-bullseye trixie}; do
  root=$(scripts/clean-system.sh "$suite" "$out")
  cp -r "$out/try" "$root/try"
  echo "the portable binaries in Debian $suite, with $(chroot "$root" ldd --version | head -n 1)" >&2
  unshare --mount --pid --net --fork --kill-child sh -euc "mount -t proc proc '$root/proc'; mount -t tmpfs tmpfs '$root/dev/shm'
    ip link set lo up; exec chroot '$root' sh /try/inside.sh"
  rm -rf "$root"
done
echo "the portable binaries are good" >&2
