#!/usr/bin/env bash
# Makes ready the module of a language, as its users would install it, and prints the words of the command that plays
# bindings/scenario.txt with it, one a line; for the browser, the folder of the package. What was made before and is not older than its sources is used again.
#
#   scripts/bindings.sh python|node|java|go|web FOLDER      exits with 3, and a line that says why, where that cannot be
set -euo pipefail

language=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)/$language
bindings=$(cd "$(dirname "$0")/../bindings" && pwd)

# Two tests may want the same module at one time.
exec 9>"$out.lock"
flock 9

skip() {
  echo "$1" >&2
  exit 3
}
need() { command -v "$1" >/dev/null 2>&1 || skip "$language is skipped: $1 is missing ($2)"; }

is_ready() { [ -e "$out/ready" ] && [ -z "$(find "$bindings/$language" -newer "$out/ready" -print -quit)" ]; }

# Builds in a folder of its own, so that nothing is left among the sources.
begin() {
  rm -rf "$out"
  mkdir -p "$out"
  cp -r "$bindings/$language" "$out/source"
}

case $language in
  python)
    need python3 "apt-get install python3 python3-pip"
    python=$(python3 -c 'import sys; print(sys.executable)')
    if ! is_ready; then
      "$python" -m pip --version >/dev/null 2>&1 || skip "python is skipped: pip is missing (apt-get install python3-pip)"
      begin
      "$python" -m pip wheel --quiet --no-deps --wheel-dir "$out/wheels" "$out/source" >"$out/log" 2>&1 ||
        skip "python is skipped: the wheel cannot be built: $(tail -n 1 "$out/log")"
      "$python" -m pip install --quiet --no-deps --target "$out/site" "$out"/wheels/*.whl >"$out/log" 2>&1 ||
        skip "python is skipped: the wheel cannot be installed: $(tail -n 1 "$out/log")"
      touch "$out/ready"
    fi
    printf '%s\n' env "PYTHONPATH=$out/site" "$python" "$bindings/python/scenario.py"
    ;;
  node)
    need node "apt-get install nodejs"
    need npm "apt-get install npm"
    if ! is_ready; then
      begin
      npm install --silent --no-audit --no-fund --no-save --install-links --prefix "$out" "$out/source" >"$out/log" 2>&1 ||
        skip "node is skipped: koffi cannot be installed: $(tail -n 1 "$out/log")"
      NODE_PATH="$out/node_modules" node -e 'require("koffi")' >"$out/log" 2>&1 ||
        skip "node is skipped: koffi cannot be used: $(tail -n 1 "$out/log")"
      touch "$out/ready"
    fi
    printf '%s\n' env "NODE_PATH=$out/node_modules" "$(command -v node)" "$bindings/node/scenario.js"
    ;;
  java)
    need javac "apt-get install default-jdk-headless"
    jna=/usr/share/java/jna.jar
    [ -e "$jna" ] || skip "java is skipped: JNA is missing (apt-get install libjna-java)"
    if ! is_ready; then
      begin
      javac -Xlint:all -Werror -cp "$jna" -d "$out/classes" "$out"/source/src/seatmeter/*.java \
        "$out/source/Scenario.java" "$out"/source/tests/*.java \
        >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
      jar --create --file "$out/seatmeter.jar" -C "$out/classes" seatmeter
      touch "$out/ready"
    fi
    printf '%s\n' "$(command -v java)" -cp "$jna:$out/seatmeter.jar:$out/classes" Scenario
    ;;
  go)
    need go "apt-get install golang-go"
    need cc "apt-get install gcc"
    if ! is_ready; then
      begin
      export GOFLAGS=-mod=mod GOPROXY=off GOCACHE="$out/cache" CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$bindings/../include"
      (cd "$out/source" && go vet ./... && go build -o "$out/programs/" ./scenario ./tests/...) >"$out/log" 2>&1 ||
        { cat "$out/log" >&2; exit 1; }
      touch "$out/ready"
    fi
    printf '%s\n' env "$out/programs/scenario"
    ;;
  web)
    need node "apt-get install nodejs"
    need npm "apt-get install npm"
    if ! is_ready; then
      mkdir -p "$out/tools"
      # The tools stay where they are as long as their list does.
      if ! cmp -s "$bindings/web/tests/package.json" "$out/tools/package.json"; then
        cp "$bindings/web/tests/package.json" "$out/tools/"
        npm install --silent --no-audit --no-fund --prefix "$out/tools" >"$out/log" 2>&1 || {
          rm "$out/tools/package.json"
          skip "web is skipped: esbuild and playwright-core cannot be installed: $(tail -n 1 "$out/log")"
        }
      fi
      # Names that neither the wire, nor the storage, nor a page knows are shortened.
      names='heal|onChange|lastError|renewalDueAt|takeRenewed|loadStored|stops|isAskedFor|isFirst|isDated|isDiverged'
      names+='|isBelieved|keyHex|flushImages|takeImages|imageSlot|countedAt|takeBack|wallThen|monotonicThen|isHeard|hear'
      names+='|anchor|monotonic|waiting|running|failure|hasLeapt|serverKey|opening|putRows|spend|isAhead|drain|symbology|lastSlot'
      {
        "$out/tools/node_modules/.bin/esbuild" "$bindings/web/src/index.js" --bundle --format=esm --target=es2022 \
          --log-level=error --outfile="$out/bundle.js" &&
          "$out/tools/node_modules/.bin/terser" "$out/bundle.js" --ecma 2022 --module --compress passes=4 --mangle \
            --mangle-props "regex=/^($names)\$/" --output "$out/seatmeter.js" --format \
            'preamble="// seatmeter-web, made by make bindings. MIT OR Apache-2.0"'
      } >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
      cp "$bindings/web/package.json" "$bindings/web/seatmeter.d.ts" "$bindings/web/README.md" "$out/"
      (cd "$out" && npm pack --silent >/dev/null) || skip "web is skipped: npm cannot pack it"
      touch "$out/ready"
    fi
    printf '%s\n' "$out"
    ;;
  *)
    echo "no such language: $language" >&2
    exit 2
    ;;
esac
