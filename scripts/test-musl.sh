#!/usr/bin/env bash
# Tries what scripts/musl.sh has built: test-musl.sh BUILT. The static server serves programs in C that are linked with musl. One holds
# seats and is killed, and the next finds all of them idle. As root, the server runs where nothing else is.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(realpath "$1")
work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server"
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "$*" >&2
  [ ! -s "$work/log" ] || tail -n 5 "$work/log" >&2
  exit 1
}

in_root=
mkdir "$work/root"
cp "$built/seatmeterd" "$work/root/"
seatmeterd=$work/root/seatmeterd
data=$work/root/data
if [ "$(id -u)" -eq 0 ]; then
  in_root="chroot $work/root"
  seatmeterd=/seatmeterd
  data=/data
fi
$in_root "$seatmeterd" init --demo --data "$data" >/dev/null
$in_root "$seatmeterd" serve --listen 127.0.0.1:0 --data "$data" >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
  url=$(sed -n 's/^seatmeterd listening on //p' "$work/log")
  [ -z "$url" ] || break
  sleep 0.1
done
[ -n "$url" ] || fail "the server does not start"

for program in c_examples/own_decoder.c c_examples/report_leftovers.c tests/c/musl_hold.c; do
  name=$(basename "$program" .c)
  musl-gcc -Wall -Werror -o "$work/$name" "$program" -Iinclude -L"$built" -lseatmeter -Wl,-rpath,"$built"
done
export SEATMETER_SERVER=$url SEATMETER_STATE_DIR=$work/device
"$work/own_decoder" | grep -q "counted: 2" || fail "own_decoder has not counted"
"$work/report_leftovers" | grep -q "is reported" || fail "the counts are not reported"
$in_root "$seatmeterd" usage show --data "$data" | grep -q "2 scans" || fail "the server has not recorded the scans"

for _ in $(seq "${KILLS:-20}"); do
  mkfifo "$work/said"
  "$work/musl_hold" hold >"$work/said" &
  holder=$!
  read -r said <"$work/said"
  rm "$work/said"
  [ "$said" = "idle seats: 1" ] || fail "the holder says: $said"
  kill -9 "$holder"
  wait "$holder" 2>/dev/null || true
  said=$("$work/musl_hold")
  [ "$said" = "idle seats: 4" ] || fail "after a kill: $said"
done
echo "library and server are good with musl" >&2
