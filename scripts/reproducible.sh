#!/usr/bin/env bash
# Builds the head of the tree twice as it is published, in two folders with names of different lengths, and compares what comes out,
# byte by byte: reproducible.sh TARGET. Prints the digests. Zig, which is the C++ compiler and the linker, is that of TARGET/portable.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1/portable"
tools=$(realpath "$1/portable")/tools
work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible.XXXXXX")
trap 'rm -rf "$work"' EXIT
files=(libseatmeter.so libDynamsoftBarcodeReader.so libseatmeter.a seatmeterd seatmeter-doctor)

for name in one another-folder; do
  mkdir -p "$work/$name/tree" "$work/$name/portable"
  git archive HEAD | tar -x -C "$work/$name/tree"
  [ ! -d "$tools" ] || ln -s "$tools" "$work/$name/portable/tools"
  echo "building in the folder $name" >&2
  built=$(env -u CARGO_TARGET_DIR "$work/$name/tree/scripts/portable.sh" "$work/$name/portable")
  mkdir "$work/$name/files"
  (cd "$built" && cp "${files[@]}" "$work/$name/files/")
  rm -rf "$work/$name/tree" "$work/$name/portable"
done
differing=$(cd "$work/one/files" && for file in "${files[@]}"; do cmp -s "$file" "$work/another-folder/files/$file" || echo "$file"; done)
if [ -n "$differing" ]; then
  mkdir -p "$1/reproducible"
  cp -r "$work/one/files" "$1/reproducible/one"
  cp -r "$work/another-folder/files" "$1/reproducible/another-folder"
  echo "two builds differ in" $differing "($1/reproducible has both)" >&2
  exit 1
fi
# What is built names no folder of the machine that built it.
for file in "${files[@]}"; do
  named=$(grep -aoF -e "$work" -e "${CARGO_HOME:-$HOME/.cargo}" "$work/one/files/$file" | head -n 1 || true)
  [ -z "$named" ] || { echo "$file names a folder of this machine: $named" >&2; exit 1; }
done
cd "$work/one/files"
sha256sum "${files[@]}"
