#!/usr/bin/env bash
# Counts the instructions of SM_CreateReader + SM_DestroyReader, which no noise of the machine changes:
# instructions.sh LIBRARY SERVER
set -euo pipefail

library=$1 server=$2
more=100000
folder=$(mktemp -d)
trap 'kill "${server_process:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT

"$server" init --demo --data "$folder/data" >/dev/null
"$server" serve --data "$folder/data" --listen 127.0.0.1:0 >"$folder/served" 2>&1 &
server_process=$!
for _ in $(seq 100); do
  url=$(grep -om1 'http://127.0.0.1:[0-9]*' "$folder/served") && break
  sleep 0.1
done

ln -s "$(realpath "$library")" "$folder/$(objdump -p "$library" | awk '/SONAME/ { print $2 }')"
cc -O2 -Iinclude benches/pairs.c -o "$folder/pairs" "$library"
export LD_LIBRARY_PATH=$folder SEATMETER_STATE_DIR=$folder/state

# All instructions of a program that makes so many pairs; what it does besides is the same each time.
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=main "$folder/pairs" "$url" "$1" 2>&1 |
    awk '/Collected/ { print $NF }'
}
# The first one stores the license, so that the others find it.
count 1 >/dev/null
few=$(count "$more") many=$(count $((2 * more)))
echo "SM_CreateReader + SM_DestroyReader: $(((many - few + more / 2) / more)) instructions"
