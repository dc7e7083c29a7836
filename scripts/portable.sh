#!/usr/bin/env bash
# Builds the libraries and programs against an old glibc, with zig as the C and C++ compiler: portable.sh FOLDER. Then looks at
# what was built: which glibc it needs, that no libstdc++ is needed, and which names are visible. The archive for static linking is
# not among them, because it would need zig's C++ library.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
glibc=2.28
target=x86_64-unknown-linux-gnu

# zig and its plug-in for cargo, in a folder of their own.
if [ ! -x "$out/tools/bin/cargo-zigbuild" ]; then
  echo "installing ziglang and cargo-zigbuild into $out/tools" >&2
  python3 -m venv "$out/tools"
  "$out/tools/bin/pip" install --quiet ziglang cargo-zigbuild
fi
export PATH=$out/tools/bin:$PATH
echo "building for glibc $glibc: many minutes, the first time" >&2
cargo zigbuild --release --target "$target.$glibc" --target-dir "$out/build" -p seatmeter -p seatmeter-dbr -p seatmeter-server

fail() {
  echo "$*" >&2
  exit 1
}
for name in libseatmeter.so libDynamsoftBarcodeReader.so seatmeterd seatmeter-doctor; do
  file=$out/build/$target/release/$name
  newest=$(objdump -T "$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
  printf '%s\n' "$newest" "GLIBC_$glibc" | sort -VC || fail "$name needs $newest: glibc $glibc does not have it"
  ! readelf -d "$file" | grep -q 'NEEDED.*\(stdc++\|libc++\)' || fail "$name needs a C++ library of the system"
  install -m 755 "$file" "$out/$name"
  echo "$out/$name needs $newest"
done
nm -D --defined-only -P "$out/libseatmeter.so" | sed 's/[@ ].*//' | sort >"$out/names"
strange=$(grep -v '^\(SM_\|DBR_\|DM_\|InitDLSConnectionParameters$\|InitLicenseFromDLS$\|GetIdleInstancesCount$\)' "$out/names" || true)
[ -z "$strange" ] || fail "libseatmeter.so shows names that are not of its headers: $strange"
rm "$out/names"
