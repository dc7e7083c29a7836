#!/usr/bin/env bash
# Run the commands of docs/guide/vendor.md ("All three roles on one machine") as they stand there, in a folder and on a
# port of their own: roles.sh EXAMPLES
set -euo pipefail
export PATH="$(realpath "$1"):$PATH"
pictures=$(realpath c_examples/images)
port=$((20000 + RANDOM % 30000))
commands=$(sed -n '/<!-- roles -->/,/<!-- end of roles -->/p' docs/guide/vendor.md | sed '/^```/d; /^<!--/d' |
  sed "s/127\.0\.0\.1:48080/127.0.0.1:$port/g; s#c_examples/images#$pictures#g")
[ -n "$commands" ] || { echo "docs/guide/vendor.md has lost its commands" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export SEATMETER_STATE_DIR=$work/device
timeout 120 bash -eu -o pipefail -c "trap 'kill \$(jobs -p) 2>/dev/null; wait' EXIT
$commands" >"$work/output" 2>"$work/errors" || { cat "$work/output" "$work/errors" >&2; exit 1; }
cat "$work/output"
grep -q '4 scans' "$work/output" || { echo "the four scans were not recorded" >&2; exit 1; }
