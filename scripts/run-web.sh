#!/usr/bin/env bash
# The main job in a browser: run-web.sh SERVER WEB
# A server with TLS and a license for browsers, the page of web_example, and what was recorded. With a Chromium on this
# machine, the page reads its demo picture by itself. KEEP=1 leaves the server running, to be opened by hand.
set -euo pipefail
server=$1
web=$2
code=WEB-DEMO
. "$(dirname "$0")/trial_server.sh"

step "a vendor's license for browsers: 10 000 scans"
"$server" init --data "$work/server" >/dev/null
root=$("$server" vendor keygen --key "$work/vendor.key" | grep -o '[0-9a-f]\{64\}')
"$server" license-file new --organization demo --server-key "$("$server" key show --data "$work/server")" \
  --charge-way barcode-scan --quota 10000 --deployment browser >"$work/draft.json"
"$server" license-file sign "$work/draft.json" --key "$work/vendor.key" >"$work/license.json"
"$server" license-file import "$work/license.json" --handshake-code "$code" --data "$work/server"
"$server" handshake access "$code" --website-domain localhost --data "$work/server"

step "the page, with the module and a decoder, from this server alone"
mkdir "$work/pages"
cp web_example/* "$work/pages/"
cp bindings/web/seatmeter.js "$work/pages/"
cp c_examples/images/four_barcodes.png "$work/pages/demo.png"
zxing=$web/tools/node_modules/zxing-wasm/dist
"$web/tools/node_modules/.bin/esbuild" "$zxing/es/reader/index.js" --bundle --minify --format=esm --log-level=error \
  --outfile="$work/pages/zxing.js"
cp "$zxing/reader/zxing_reader.wasm" "$work/pages/"

step "a license server with TLS"
"$server" tls self-signed --host localhost 127.0.0.1 --out "$work/tls" >/dev/null
serve --listen "https://127.0.0.1:${PORT:-0}" --tls-cert "$work/tls/server.pem" \
  --tls-key "$work/tls/server.key" --demo "$work/pages"
page=https://localhost:${url##*:}/demo/?root=$root
echo "$page"

browser=$(command -v chromium-headless-shell || command -v chromium || command -v google-chrome || true)
if [ -n "$browser" ]; then
  step "a browser opens the page, and reads the demo picture"
  CHROMIUM=$browser node bindings/web/tests/browser/open_example.mjs "$web/tools" "$page"
  step "what the license server has recorded"
  "$server" usage show --data "$work/server"
else
  echo "no Chromium is on this machine: open the page in a browser with KEEP=1" >&2
fi

if [ -n "${KEEP:-}" ]; then
  step "the server stays: trust $work/tls/ca.pem in your browser, or accept its warning, and open"
  echo "$page"
  echo "$server usage show --data $work/server"
  leave_running
fi
