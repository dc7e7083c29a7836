#!/usr/bin/env bash
# Builds library, server and doctor for systems with an old glibc: portable.sh FOLDER. GLIBC is the oldest version that they must run
# with; 2.28 is that of RHEL 8 and of Debian 10. The C++ runtime is inside. The linker and the C++ compiler are Zig's, which have the
# symbols of each version of glibc. Prints the folder with what is built, laid out as target/release is: BUILT of the other scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
glibc=${GLIBC:-2.28}
architecture=$(uname -m)
triple=$architecture-unknown-linux-gnu
tools=$(scripts/zig.sh "$out/tools")

# No path of this machine and no time is in what is built, so that the same bytes come out elsewhere and later.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$out=/target --remap-path-prefix=$PWD=/seatmeter"
c_paths="-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$out=/target -ffile-prefix-map=$PWD=/seatmeter"
c_paths+=' -Wno-builtin-macro-redefined -D__DATE__="no-date" -D__TIME__="no-time"'
export CFLAGS="${CFLAGS:-} $c_paths" CXXFLAGS="${CXXFLAGS:-} $c_paths"

echo "building for glibc $glibc, optimized: many minutes, the first time" >&2
PATH=$tools:$PATH cargo zigbuild --quiet --release --target "$triple.$glibc" --target-dir "$out" \
  -p seatmeter -p seatmeter-dbr -p seatmeter-static -p seatmeter-server >&2
built=$out/$triple/release
ln -sf libseatmeter.so "$built/libseatmeter.so.0"
# The archive has Zig's C++ runtime inside, too: no system has it.
echo 'int main() {}' >"$out/empty.cpp"
mapfile -t runtime < <(ZIG_VERBOSE_LINK=1 "$tools/python" -m ziglang c++ -target "$architecture-linux-gnu.$glibc" "$out/empty.cpp" \
  -o "$out/empty" 2>&1 | tr ' ' '\n' | grep -E '/lib(c\+\+|c\+\+abi|unwind)\.a$')
[ ${#runtime[@]} -eq 3 ] || { echo "Zig does not name its C++ runtime: ${runtime[*]}" >&2; exit 1; }
scripts/static.sh "$built/libseatmeter_static.a" "$built/libseatmeter.so" "$built/libseatmeter.a" "${runtime[@]}"

failed=
complain() {
  echo "$*" >&2
  failed=yes
}
# Print the versions of glibc that a file needs and that are newer: versions_above VERSION FILE
versions_above() {
  objdump -T "$2" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV |
    while read -r version; do [ "$(printf '%s\n' "$1" "$version" | sort -V | tail -n 1)" = "$1" ] || echo "$version"; done
}
for file in libseatmeter.so libDynamsoftBarcodeReader.so seatmeterd seatmeter-doctor; do
  newer=$(versions_above "$glibc" "$built/$file")
  [ -z "$newer" ] || complain "$file needs glibc $(tail -n 1 <<<"$newer")"
  others=$(objdump -p "$built/$file" | sed -n 's/^ *NEEDED *//p' |
    grep -vxE 'lib(c|m|dl|rt|pthread)\.so\.[0-9]+|ld-linux-[a-z0-9-]+\.so\.[0-9]|libseatmeter\.so\.0' || true)
  [ -z "$others" ] || complain "$file needs libraries that a system may lack: $others"
done
for file in libseatmeter.so libDynamsoftBarcodeReader.so; do
  foreign=$(nm -D --defined-only "$built/$file" | sed 's/.* //' | grep -E '^(_|rust)' || true)
  [ -z "$foreign" ] || complain "$file shows names that are not its own: $(head -n 3 <<<"$foreign")"
done
[ -z "$failed" ] || exit 1
echo "$built"
