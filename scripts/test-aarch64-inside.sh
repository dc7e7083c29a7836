#!/usr/bin/env bash
# The first and only program of the emulated machine of test-aarch64.sh: prepares a system, runs the suites, and switches the
# machine off. Lines that begin with "aarch64:" are for the one who waits outside.
set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs run /run
ln -sf /proc/self/fd /dev/fd
chmod 1777 /tmp
ip link set lo up
ldconfig
. /out/settings
cd /src
export SEATMETERD=/out/aarch64-unknown-linux-gnu/debug/seatmeterd
export RUST_BACKTRACE=1
# Both suites of kills take their number from here; without it each has its own.
[ -z "$KILLS" ] || export SEATMETER_SOAK_KILLS=$KILLS
failed=0

say() { printf 'aarch64: %s\n' "$*"; }

# Run a suite: its name, its time in seconds, and its command. A suite of Rust says itself how many tests it had.
suite() {
  local name=$1 limit=$2 log=/tmp/log.$RANDOM begun=$SECONDS code=0 counts skipped
  shift 2
  printf -- '-- %s\n' "$name"
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 || code=$?
  counts=$(sed -n 's/^test result: [^.]*\. \([0-9]*\) passed; \([0-9]*\) failed; .*/\1 passed, \2 failed/p' "$log" | tail -n 1)
  grep -a '^SKIPPED' "$log" | sort | uniq -c
  skipped=$(grep -ac '^SKIPPED' "$log")
  [ "$skipped" = 0 ] || counts="$counts, $skipped of them skipped themselves"
  if [ "$code" = 0 ]; then
    say "$name: ok${counts:+ ($counts)}, $((SECONDS - begun)) s"
  else
    failed=1
    [ "$code" = 124 ] && counts="not over within $limit s"
    say "$name: FAILED with $code${counts:+ ($counts)}, $((SECONDS - begun)) s"
    grep -v '^test .* ok$' "$log" | tail -n 150
  fi
  rm -f "$log"
}

# Valgrind would take hours here. Programs that are to run under it run by themselves once more.
cat >/usr/bin/valgrind <<'VALGRIND'
#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
VALGRIND
chmod 755 /usr/bin/valgrind

say "Linux $(uname -r), $(nproc) processors, $(grep -m 1 '^Features' /proc/cpuinfo | grep -q atomics && echo with || echo without) atomic instructions"
# The model checker is the same on every processor.
suite "unit tests of the library" 1200 /out/tests/unit-seatmeter --skip seats::checker --show-output
suite "unit tests of the protocol" 1200 /out/tests/unit-seatmeter_protocol --show-output
suite "unit tests of the server" 1200 /out/tests/unit-seatmeter_server --show-output
suite "seats" 1200 /out/tests/seats --skip crash:: --skip fork:: --show-output
suite "forks" 1200 /out/tests/seats fork:: --show-output
suite "kills of holders of seats" 1200 /out/tests/seats crash:: --show-output
suite "kills of counting processes" 1200 /out/tests/usage counts:: --show-output
suite "other tests of counts" 1200 /out/tests/usage --skip counts:: --skip server_soak --show-output
suite "hosts" 1200 /out/tests/host --show-output
suite "C programs" 1200 /out/tests/c_api programs:: --show-output
suite "the documented snippet and a server" 300 scripts/run.sh /out/examples
suite "a program with the library inside" 300 bash -euo pipefail -c 'server=/out/examples/seatmeterd
  . scripts/trial_server.sh
  "$server" init --demo --data "$work/server"
  serve --listen 127.0.0.1:0
  SEATMETER_SERVER=$url SEATMETER_STATE_DIR=$work/device /out/examples/own_decoder_static'
[ "$failed" = 1 ] || say "all passed"
sync
echo o >/proc/sysrq-trigger
sleep 60
