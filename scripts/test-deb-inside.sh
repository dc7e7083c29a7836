#!/usr/bin/env bash
# The life of an installation, within a clean system: test-deb-inside.sh EARLIER VERSION. Installs the earlier packages, runs the
# server as its unit says, builds and runs the snippet, sees it on the dashboard, upgrades, removes, purges.
set -euo pipefail
earlier=$1
version=$2
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
cd /try
configuration=/etc/seatmeterd/seatmeterd.toml
data=/var/lib/seatmeterd
server=

step() { printf -- '-- %s\n' "$*" >&2; }
fail() {
  echo "test-deb: $*" >&2
  exit 1
}
stop() {
  [ -n "$server" ] || return 0
  kill "$server"
  wait "$server" || fail "the server ended with an error"
  server=
}

# Start the server as the unit does, at a free port.
start() {
  local command
  command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/seatmeterd.service /usr/lib/systemd/system/seatmeterd.service 2>/dev/null |
    head -n 1)
  # The words of the unit have no spaces in them.
  # shellcheck disable=SC2086
  SEATMETERD_LISTEN=127.0.0.1:0 setpriv --reuid seatmeterd --regid seatmeterd --clear-groups $command >listening 2>server.log &
  server=$!
  for _ in $(seq 200); do
    url=$(sed -n 's/^seatmeterd listening on //p' listening)
    [ -n "$url" ] && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat server.log >&2
  fail "the server did not start"
}

recorded() { seatmeterd usage sum --by kind --json --config "$configuration" | tr -d ' \n'; }
# No service starts by itself in this system.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

step "install $earlier"
apt-get update -qq
apt-get install -y -qq ./*_"${earlier}"_*.deb >log 2>&1 || { cat log >&2; fail "the packages cannot be installed"; }
[ "$(stat -c '%U %a' "$data")" = "seatmeterd 700" ] || fail "$data is $(stat -c '%U %a' "$data")"
seatmeterd --version
seatmeterd config check --config "$configuration" >/dev/null

step "a server with a demo license, a user of its dashboard, and a doctor"
seatmeterd init --demo --config "$configuration"
start
echo "a password of twelve" | seatmeterd user create ann --role viewer --config "$configuration"
export SEATMETER_SERVER=$url SEATMETER_STATE_DIR=/try/device

step "build the snippet with the -dev package, and run it"
apt-get install -y -qq g++ pkg-config curl >log 2>&1 || { cat log >&2; fail "no compiler"; }
read -r -a flags <<<"$(pkg-config --cflags --libs DynamsoftBarcodeReader)"
c++ documented_snippet.cpp -o snippet "${flags[@]}"
./snippet four_barcodes.png
read -r -a flags <<<"$(pkg-config --cflags --libs seatmeter-static)"
cc own_decoder.c -o own_decoder "${flags[@]}"
./own_decoder
seatmeter-doctor
before=$(recorded)
grep -q '6' <<<"$before" || fail "the server has recorded $before, not 6 scans"

step "see it on the dashboard"
curl -fsS -c cookies -o /dev/null --data-urlencode "name=ann" --data-urlencode "password=a password of twelve" "$url/dashboard/login"
curl -fsS -b cookies "$url/dashboard" >page
grep -qi demo page || { cat page >&2; fail "the dashboard does not show the demo license"; }
curl -fsS -b cookies "$url/dashboard/usage" >page
grep -q '<b>6</b> scans' page || { cat page >&2; fail "the dashboard does not show the scans"; }

step "upgrade to $version: the configuration, the key and the records stay"
key=$(seatmeterd key show --config "$configuration")
stop
echo 'rate-per-source = 1999' >>"$configuration"
apt-get install -y -qq ./*_"${version}"_*.deb >log 2>&1 || { cat log >&2; fail "the upgrade fails"; }
[ "$(dpkg-query -W -f '${Version}' seatmeterd)" = "$version" ] || fail "not upgraded"
grep -q '^rate-per-source = 1999' "$configuration" || fail "the configuration was replaced"
[ "$(seatmeterd key show --config "$configuration")" = "$key" ] || fail "the key is another one"
[ "$(recorded)" = "$before" ] || fail "recorded $(recorded), and $before before the upgrade"
start
SEATMETER_SERVER=$url ./own_decoder
[ "$(recorded)" != "$before" ] || fail "nothing was recorded after the upgrade"
stop

step "remove: the configuration and the data stay"
apt-get remove -y -qq seatmeterd seatmeter-doctor libseatmeter-dev libseatmeter0 >log 2>&1 || { cat log >&2; fail "cannot be removed"; }
[ ! -e /usr/bin/seatmeterd ] || fail "the program is still there"
[ -s "$configuration" ] && [ -s "$data/server.key" ] || fail "removing took away the configuration or the key"

step "purge: the data stays, and it is said"
# Of the other packages, nothing is left that could be purged.
apt-get purge -y -qq seatmeterd >log 2>&1 || { cat log >&2; fail "cannot be purged"; }
grep -q "stay in $data" log || fail "it is not said that the data stays"
[ ! -e "$configuration" ] || fail "purging left the configuration"
[ -s "$data/server.key" ] || fail "purging took away the key"
left=$(find /usr /etc /lib -name '*seatmeter*' -o -name '*Dynamsoft*' | grep -v '^/etc/systemd/system' || true)
[ -z "$left" ] || fail "purging left $left"
