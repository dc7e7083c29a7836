#!/usr/bin/env bash
# Builds the head of the tree twice, in two folders with names of different lengths, and compares what comes out, byte by byte. Prints
# the digests.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible.XXXXXX")
trap 'rm -rf "$work"' EXIT
files=(libseatmeter.so libDynamsoftBarcodeReader.so libseatmeter.a seatmeterd seatmeter-doctor)

for name in one another-folder; do
  mkdir "$work/$name"
  git archive HEAD | tar -x -C "$work/$name"
  echo "building in the folder $name" >&2
  (
    cd "$work/$name"
    unset CARGO_TARGET_DIR
    make --no-print-directory compile >&2
    cd target/release
    sha256sum "${files[@]}"
  ) >"$work/$name.digests"
  (cd "$work/$name/target/release" && cp "${files[@]}" "$work/$name/")
  rm -rf "$work/$name/target"
done
if ! cmp -s "$work/one.digests" "$work/another-folder.digests"; then
  diff "$work/one.digests" "$work/another-folder.digests" >&2 || true
  echo "two builds differ" >&2
  exit 1
fi
cat "$work/one.digests"
