#!/usr/bin/env bash
# Makes ready what the tests of the dashboard need beside a browser: playwright-core, and axe-core for accessibility.
#
#   scripts/dashboard-tools.sh FOLDER      exits with 3, and a line that says why, where they cannot be had
set -euo pipefail

mkdir -p "$1"
out=$(cd "$1" && pwd)
manifest=$(cd "$(dirname "$0")/../server/tests/dashboard" && pwd)/package.json

# Two tests may want them at one time.
exec 9>"$out.lock"
flock 9

skip() {
  echo "the pages of the dashboard are not looked at: $1" >&2
  exit 3
}
command -v node >/dev/null 2>&1 || skip "node is missing (apt-get install nodejs)"
command -v npm >/dev/null 2>&1 || skip "npm is missing (apt-get install npm)"
if ! cmp -s "$manifest" "$out/ready"; then
  cp "$manifest" "$out/package.json"
  npm install --silent --no-audit --no-fund --prefix "$out" >"$out/log" 2>&1 ||
    skip "playwright-core and axe-core cannot be installed: $(tail -n 1 "$out/log")"
  cp "$manifest" "$out/ready"
fi
echo "$out"
