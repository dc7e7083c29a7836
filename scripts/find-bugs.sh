#!/usr/bin/env bash
# Shows that the simulation finds mistakes: puts each of e2e/bugs into a copy of the tree, and demands that a law breaks there.
# Prints a line for each. Exit code 0: all were found; 1: some were not; 2: a patch does not apply, or what it makes does not
# build, or the tree as it is breaks a law.
#
#   FIND_WORLDS=400 FIND_FOLDER= scripts/find-bugs.sh [NAME …]      NAME: of a file in e2e/bugs, as count-twice
#
# A FIND_FOLDER is kept, so that the next call need not build the dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
worlds=${FIND_WORLDS:-400}

if [ $# -gt 0 ]; then
  patches=()
  for name in "$@"; do
    found=(e2e/bugs/[0-9][0-9]-"$name".patch)
    [ -e "${found[0]}" ] || { echo "there is no bug named $name: see the files of e2e/bugs" >&2; exit 2; }
    patches+=("${found[0]}")
  done
else
  patches=(e2e/bugs/[0-9][0-9]-*.patch)
fi

# One folder for all: cargo builds anew what has changed in it, and no more. The clean copy stays as the tree is now, and
# has the patches that fit it.
folder=${FIND_FOLDER:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d "${TMPDIR:-/tmp}/find-bugs.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 130' INT TERM HUP
fi
mkdir -p "$folder"
folder=$(realpath "$folder")
rm -rf "$folder/clean" "$folder/tree"
mkdir "$folder/clean" "$folder/tree"
# With the time of now, or cargo would take what a call of before has built with a bug in it for what is in the tree.
for copy in clean tree; do
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d "" file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --create --null --files-from - | tar --extract --touch --directory "$folder/$copy"
done

# Arguments are for cargo. A world that lives for ever is no world: an hour is more than all of them take.
simulation() {
  (cd "$folder/tree" && CARGO_TARGET_DIR=$folder/target CARGO_INCREMENTAL=1 SEATMETER_SIM_SEED="" SEATMETER_SIM_FIRST=1 \
    SEATMETER_SIM_WORLDS=$worlds SEATMETER_SIM_CORES=1 SEATMETER_SIM_AS_FOUND=1 \
    timeout 3600 cargo test --quiet --profile sim -p seatmeter-e2e --test sim "$@") >"$folder/log" 2>&1
}

# Builds and runs the simulation in the copy; says how it went: builds-not, silent, held, broken.
simulate() {
  simulation --no-run || { outcome=builds-not; return; }
  SECONDS=0
  if simulation -- --nocapture --exact worlds_obey_the_laws; then
    outcome=held
  elif grep -q "a law does not hold" "$folder/log"; then
    outcome=broken
  else
    outcome=silent
  fi
  took=$SECONDS
  law=$(sed -En '/^  (then|when all is well again): /{s///p;q}; /^  the process ends/{s/^  //p;q}' "$folder/log")
}

simulate
if [ $outcome != held ]; then
  tail -n 30 "$folder/log" >&2
  echo "the tree as it is must build and obey the laws in $worlds worlds, before a bug in it means anything" >&2
  exit 2
fi
echo "no bug: $worlds worlds obey the laws, after $took s"

missed=()
wrong=()
for patch in "${patches[@]}"; do
  name=${patch##*/}
  name=${name#*-}
  name=${name%.patch}
  if ! patch --directory="$folder/tree" --strip=1 --batch --forward --no-backup-if-mismatch --reject-file=- <"$folder/clean/$patch" >"$folder/log" 2>&1; then
    outcome=applies-not
  else
    simulate
  fi
  case $outcome in
    broken) echo "$name: found after $took s: $law" ;;
    held)
      echo "$name: NOT FOUND in $worlds worlds, $took s"
      missed+=("$name")
      ;;
    *)
      case $outcome in
        applies-not) echo "$name: $patch does not apply: make the mistake in the code as it is now, and write its diff there" ;;
        builds-not) echo "$name: with $patch the simulation does not build" ;;
        silent) echo "$name: with $patch the simulation ends without a word about a law" ;;
      esac
      tail -n 30 "$folder/log" >&2
      wrong+=("$name")
      ;;
  esac
  # They have the time of now, too.
  sed -n 's|^+++ b/||p' "$folder/clean/$patch" | while IFS= read -r file; do cp "$folder/clean/$file" "$folder/tree/$file"; done
done

echo "$((${#patches[@]} - ${#missed[@]} - ${#wrong[@]})) of ${#patches[@]} found"
[ ${#missed[@]} -eq 0 ] || echo "not found: ${missed[*]}"
[ ${#wrong[@]} -eq 0 ] || { echo "not tried: ${wrong[*]}"; exit 2; }
[ ${#missed[@]} -eq 0 ]
