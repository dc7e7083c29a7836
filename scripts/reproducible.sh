#!/usr/bin/env bash
# Shows that the portable binaries are reproducible: reproducible.sh TARGET. Builds the head of the tree once more in another folder,
# with the compiler of Zig that built TARGET/portable, and compares what comes out, byte by byte. Prints the digests. What differs is
# kept in TARGET/reproducible.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
files=(libseatmeter.so libDynamsoftBarcodeReader.so libseatmeter.a seatmeterd seatmeter-doctor)
[ -z "$(git status --porcelain)" ] || { echo "the tree has changes that are not committed: commit or remove them first" >&2; exit 1; }

first=$(scripts/portable.sh "$target/portable")
work=$(mktemp -d "${TMPDIR:-/tmp}/another-folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/portable"
git archive HEAD | tar -x -C "$work/tree"
ln -s "$(realpath "$target/portable/tools")" "$work/portable/tools"
echo "building once more in $work" >&2
second=$(env -u CARGO_TARGET_DIR "$work/tree/scripts/portable.sh" "$work/portable")

differing=()
for file in "${files[@]}"; do
  cmp -s "$first/$file" "$second/$file" || differing+=("$file")
done
if [ ${#differing[@]} -gt 0 ]; then
  rm -rf "$target/reproducible"
  mkdir -p "$target/reproducible/one" "$target/reproducible/another"
  (cd "$first" && cp "${differing[@]}" "$OLDPWD/$target/reproducible/one/")
  (cd "$second" && cp "${differing[@]}" "$OLDPWD/$target/reproducible/another/")
  echo "two builds differ in ${differing[*]}: see $target/reproducible" >&2
  exit 1
fi
# What is published names no folder of the machine that built it.
for file in "${files[@]}"; do
  named=$(grep -aoF -e "$work" -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}/" "$second/$file" | head -n 1 || true)
  [ -z "$named" ] || { echo "$file names a folder of the machine: $named" >&2; exit 1; }
done
cd "$second"
sha256sum "${files[@]}"
