#!/usr/bin/env bash
# Builds for musl: the server and the doctor as static programs, and the library for programs that are linked with musl: musl.sh FOLDER.
# Zig has musl and a C++ runtime, and links. Rust's standard library for musl is built from its source: that of rustup's component
# rust-src, or the package rust-src of Debian with the same version, from the archive of this system or from MIRROR. Prints the folder
# with what is built.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
target=$(uname -m)-unknown-linux-musl
version=$(rustc --version | cut -d ' ' -f 2)
tools=$(scripts/zig.sh "$out/tools")

# Fetch Debian's package with the source of the standard library. The lists are not those of the system.
fetch_source() {
  local lists=$out/lists mirror name suite
  mirror=$(scripts/debian-archive.sh)
  mkdir -p "$lists/state/partial" "$lists/cache/archives/partial"
  for suite in stable stable-backports unstable; do
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite"
  done >"$lists/sources.list"
  local apt=(-qq -o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$lists/state"
    -o "Dir::Cache=$lists/cache")
  apt-get "${apt[@]}" update
  name=$(apt-cache "${apt[@]}" madison rust-src | cut -d '|' -f 2 | tr -d ' ' | grep -m 1 "^$version+" || true)
  [ -n "$name" ] || return 1
  (cd "$lists" && apt-get "${apt[@]}" download "rust-src=$name" 2>/dev/null && dpkg-deb -x rust-src_*.deb "$out/rust-src")
}
source=$(rustc --print sysroot)/lib/rustlib/src/rust/library
if [ ! -d "$source" ]; then
  source=$out/rust-src/usr/src/rustc-$version/library
  [ -d "$source" ] || fetch_source ||
    { echo "the standard library of rustc $version is needed as source: rustup component add rust-src" >&2; exit 1; }
fi

cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags="${RUSTFLAGS:-} -Clink-self-contained=no --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$source=/rust"
# The standard library is built as cargo builds its own. This is open to a stable compiler only by this variable.
build() {
  RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$source PATH=$tools:$PATH RUSTFLAGS=$1 \
    cargo zigbuild --quiet --release --target "$target" --target-dir "$2" -Zbuild-std=std,panic_unwind -p "$3" >&2
}
echo "building for musl: many minutes, the first time" >&2
build "$flags" "$out" seatmeter-server
build "$flags -Ctarget-feature=-crt-static" "$out/shared" seatmeter
built=$out/$target/release
cp "$out/shared/$target/release/libseatmeter.so" "$built/libseatmeter.so"
ln -sf libseatmeter.so "$built/libseatmeter.so.0"

for file in seatmeterd seatmeter-doctor; do
  needed=$(objdump -p "$built/$file" | sed -n 's/^ *NEEDED *//p')
  [ -z "$needed" ] || { echo "$file is not static: it needs $needed" >&2; exit 1; }
  "$built/$file" --version >/dev/null
done
needed=$(objdump -p "$built/libseatmeter.so" | sed -n 's/^ *NEEDED *//p')
[ "$needed" = libc.so ] || { echo "libseatmeter.so needs more than musl: $needed" >&2; exit 1; }
echo "$built"
