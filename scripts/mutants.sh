#!/usr/bin/env bash
# Changes the rules in one place at a time, and sees whether their unit tests notice it: mutants.sh TARGET [ARGUMENTS of cargo mutants …].
# The rules are laid out as a crate of their own in TARGET/mutants, with the few files that they need, so that each change builds in
# seconds. What no test notices is listed in TARGET/mutants/mutants.out/missed.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
target=$(realpath "$1")
shift
command -v cargo-mutants >/dev/null || { echo "mutants need cargo-mutants: cargo install cargo-mutants" >&2; exit 1; }

crate=$target/mutants/policy
rm -rf "$crate" "$target/mutants/docs"
mkdir -p "$crate/src" "$target/mutants/docs"
cp -r server/src/policy server/src/error.rs server/src/problem.rs server/src/utc.rs "$crate/src/"
cp docs/problems.md "$target/mutants/docs/"
cp Cargo.lock "$crate/"
printf 'pub mod error;\npub mod policy;\npub mod problem;\npub mod utc;\n' >"$crate/src/lib.rs"
# The rules know no database.
awk '/^impl From<rusqlite::Error> for Error/ { skip = 1 } !skip { print } skip && /^}/ { skip = 0 }' server/src/error.rs >"$crate/src/error.rs"
# The dependencies as the server and the workspace name them.
dependency() { cat server/Cargo.toml Cargo.toml | sed -n "/^$1 = [\"{]/{/workspace/!p}" | sed -n 1p; }
{
  printf '[package]\nname = "policy"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n'
  echo "seatmeter-protocol = { path = \"$PWD/protocol\", features = [\"clap\"] }"
  for name in hex idna ipnet jiff psl ring roaring serde serde_json thiserror utoipa; do dependency "$name"; done
  printf '\n[dev-dependencies]\n'
  dependency proptest
  printf '\n[profile.dev]\ndebug = false\n\n[profile.dev.package."*"]\nopt-level = 1\n'
} >"$crate/Cargo.toml"

cd "$crate"
CARGO_TARGET_DIR=$target/mutants/target exec cargo mutants --in-place --no-shuffle --timeout 30 --file 'src/policy/**' \
  --output "$target/mutants" "$@" -- --lib policy
