#!/usr/bin/env bash
# Makes the archive for static linking: static.sh ARCHIVE LIBRARY OUT. All of cargo's ARCHIVE that is reached from what the
# shared LIBRARY exports becomes one object, in which only the exported names can be seen. So it can be linked beside another
# library that is written in Rust, or that has the same barcode engine. More archives may follow, such as those of a C++ runtime that
# systems do not have: static.sh ARCHIVE LIBRARY OUT [MORE …].
set -euo pipefail
archive=$1
library=$2
out=$3
shift 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
nm -D --defined-only -P "$library" | sed 's/[@ ].*//' >"$folder/names"
[ -s "$folder/names" ] || { echo "$library exports nothing" >&2; exit 1; }
sed 's/^/-u /' "$folder/names" >"$folder/roots"

# Members of the archive that nothing needs are left out, and sections, too.
ld -r --gc-sections --force-group-allocation --strip-debug -o "$folder/whole.o" "@$folder/roots" "$archive" "$@"
objcopy --remove-section=.llvmbc --remove-section=.llvmcmd "$folder/whole.o"
# A name that is unique in a whole process, as templates of C++ have, stays visible unless it is weak first.
nm -P "$folder/whole.o" | awk '$2 == "u" { print $1 }' >"$folder/unique"
[ ! -s "$folder/unique" ] || objcopy --weaken-symbols="$folder/unique" "$folder/whole.o"
objcopy --keep-global-symbols="$folder/names" "$folder/whole.o" "$folder/seatmeter.o"
rm -f "$folder/libseatmeter.a"
# "D": the same archive each time.
ar rcsD "$folder/libseatmeter.a" "$folder/seatmeter.o"
mv "$folder/libseatmeter.a" "$out"
