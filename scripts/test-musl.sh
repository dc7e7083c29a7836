#!/usr/bin/env bash
# Tries what scripts/musl.sh has built: test-musl.sh BUILT. The static server serves programs in C that are linked with musl. One holds
# seats and is killed, and the next finds all of them idle. As root, the server runs where nothing else is.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(realpath "$1")
server=$built/seatmeterd
. scripts/trial_server.sh
fail() {
  echo "$*" >&2
  exit 1
}

if [ "$(id -u)" -eq 0 ]; then
  # In an empty root, in which the folder of the data has the same name.
  mkdir -p "$work/root$work"
  cp "$built/seatmeterd" "$work/root/"
  server=$work/alone
  printf '#!/bin/sh\nexec chroot "%s" /seatmeterd "$@"\n' "$work/root" >"$server"
  chmod +x "$server"
fi
"$server" init --demo --data "$work/server" >/dev/null
serve --listen 127.0.0.1:0

for program in c_examples/own_decoder.c c_examples/report_leftovers.c tests/c/musl_hold.c; do
  name=$(basename "$program" .c)
  musl-gcc -Wall -Werror -o "$work/$name" "$program" -Iinclude -L"$built" -lseatmeter -Wl,-rpath,"$built"
done
export SEATMETER_SERVER=$url SEATMETER_STATE_DIR=$work/device
"$work/own_decoder" | grep -q "counted: 2" || fail "own_decoder has not counted"
"$work/report_leftovers" | grep -q "is reported" || fail "the counts are not reported"
"$server" usage show --data "$work/server" | grep -q "2 scans" || fail "the server has not recorded the scans"

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
