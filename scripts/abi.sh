#!/usr/bin/env bash
# The binary interface that the headers declare, as programs are compiled against it: recorded for a release, and compared with
# the record. tests/c_api/symbols.rs sees to it that the library exports exactly what the headers declare.
#
#   scripts/abi.sh check [INCLUDE]     exits with 1 when a program that was compiled before would break
#   scripts/abi.sh record              writes abi/libseatmeter.so.N.abi anew, for a release
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
include=${2:-$root/include}
major=$(sed -n 's/^version = "\([0-9]*\)\..*/\1/p' "$root/Cargo.toml" | head -n 1)
record=$root/abi/libseatmeter.so.$major.abi
for tool in abidw abidiff cc; do
  command -v "$tool" >/dev/null 2>&1 && continue
  echo "$tool is missing (apt-get install abigail-tools gcc): the binary interface is not checked" >&2
  exit 3
done

if [ "$(uname -m)" != x86_64 ]; then
  echo "the record is one of x86-64: the binary interface is not checked" >&2
  exit 3
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Every declared function, with a body. A declaration is what has a return type and a name of ours before its brackets.
cat >"$work/all.c" <<'C'
#include "seatmeter.h"
#include "dbr/DynamsoftBarcodeReader.h"
#include "dbr/DynamsoftCommon.h"
C
cc -E -P -I "$include" -I "$include/dbr" "$work/all.c" | awk '/^#/ { print ""; print; next } { printf "%s ", $0 }' |
  sed -E 's/;/;\n/g' |
  sed -E '/^ *[A-Za-z][A-Za-z ]*[ *]+(SM_|DBR_|InitDLS|InitLicense|GetIdle)[A-Za-z0-9]+\(.*\) *;$/ { /^ *typedef/! s/;$/ { __builtin_trap(); }/ }' \
    >"$work/defined.c"
cc -g -O0 -shared -fPIC -w -Wl,-soname,"libseatmeter.so.$major" -o "$work/libseatmeter.so.$major" "$work/defined.c"
abidw --no-corpus-path --no-comp-dir-path --short-locs --no-show-locs --out-file "$work/now.abi" \
  "$work/libseatmeter.so.$major"

case ${1:-} in
  record)
    cp "$work/now.abi" "$record"
    echo "recorded: $(grep -c '<elf-symbol ' "$record") functions"
    ;;
  check)
    # What is added breaks nobody; everything else that abidiff does not call harmless does.
    abidiff --suppressions "$root/abi/growth.suppr" --no-added-syms "$record" "$work/now.abi"
    echo "the binary interface is the recorded one: $(grep -c '<elf-symbol ' "$work/now.abi") functions"
    ;;
  *)
    sed -n '2,7p' "$0"
    exit 2
    ;;
esac
