#!/usr/bin/env bash
# Changes a part of the code in one place at a time, and sees whether its unit tests notice it:
#
#   mutants.sh TARGET policy|usage [ARGUMENTS of cargo mutants …]
#
# The rules (server/src/policy), or the counts without what only tests use (src/usage), are laid out as a crate of their own in
# TARGET/mutants, with the few files that they need, so that each change builds in seconds. What no test notices is listed in
# TARGET/mutants/PART/mutants.out/missed.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }
mkdir -p "$1"
target=$(realpath "$1")
part=$2
shift 2
command -v cargo-mutants >/dev/null || { echo "mutants need cargo-mutants: cargo install cargo-mutants" >&2; exit 1; }

crate=$target/mutants/$part/crate
rm -rf "$crate" "$target/mutants/$part/docs"
mkdir -p "$crate/src"
cp Cargo.lock "$crate/"

# A dependency as this crate and the workspace name it.
dependency() { cat "$manifest" Cargo.toml | sed -n "/^$1 = [\"{]/{/workspace/!p}" | sed -n 1p; }
# Writes the manifest, for the dependencies named.
manifest() {
  printf '[package]\nname = "%s"\nedition = "2024"\n\n[workspace]\n\n[features]\nkill-points = []\n\n[dependencies]\n' "$part"
  echo "seatmeter-protocol = { path = \"$PWD/protocol\", features = [\"$protocol\"] }"
  for name in $dependencies; do dependency "$name"; done
  printf '\n[dev-dependencies]\n'
  for name in $for_tests; do dependency "$name"; done
  printf '\n[profile.dev]\ndebug = false\n\n[profile.dev.package."*"]\nopt-level = 1\n'
}

case $part in
  policy)
    manifest=server/Cargo.toml
    modules="error policy problem utc"
    protocol=clap
    dependencies="hex idna ipnet jiff psl ring roaring serde serde_json thiserror utoipa"
    for_tests=proptest
    features=()
    (cd server/src && cp -r policy error.rs problem.rs utc.rs "$crate/src/")
    # The rules know no database.
    awk '/^impl From<rusqlite::Error> for Error/ { skip = 1 } !skip { print } skip && /^}/ { skip = 0 }' server/src/error.rs >"$crate/src/error.rs"
    mkdir "$target/mutants/$part/docs"
    cp docs/problems.md "$target/mutants/$part/docs/"
    ;;
  usage)
    manifest=Cargo.toml
    modules="device environment error fault_injection files log os state usage"
    protocol=rehearsal
    dependencies="hex jiff libc once_cell ring serde serde_json spin thiserror xxhash-rust"
    for_tests="fastrand tempfile"
    features=(--features kill-points)
    (cd src && cp -r device.rs environment.rs error.rs fault_injection files log os state usage "$crate/src/")
    mkdir "$crate/tests"
    cp -r tests/state "$crate/tests/"
    ;;
  *)
    echo "mutants.sh knows policy and usage, not $part" >&2
    exit 2
    ;;
esac
manifest >"$crate/Cargo.toml"
printf 'pub mod %s;\n' $modules >"$crate/src/lib.rs"

cd "$crate"
CARGO_TARGET_DIR=$target/mutants/target exec cargo mutants --in-place --no-shuffle --timeout 30 --file "src/$part/**" --exclude '**/power_cut.rs' \
  --output "$target/mutants/$part" "${features[@]}" "$@" -- --lib "$part"
