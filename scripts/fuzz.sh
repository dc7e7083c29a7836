#!/usr/bin/env bash
# Runs the fuzz targets, each for FUZZ_RUNS executions or FUZZ_SECONDS, whichever is first, from the seeds and from what was
# found before (target/fuzz/corpus). Prints a line for each; an input that breaks something is kept in target/fuzz/found.
#
#   FUZZ_RUNS=100000 FUZZ_SECONDS=60 FUZZ_SANITIZER=address scripts/fuzz.sh [TARGET …]
#
# FUZZ_SANITIZER=none looks for panics, overflows and hangs alone, several times as fast: for long runs of what has no unsafe code.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "SKIPPED: fuzzing needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz)" >&2
  exit 0
fi
root=$PWD/${CARGO_TARGET_DIR:-target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
sanitizer=${FUZZ_SANITIZER:-address}
# A folder for each, or every change between them would build everything anew.
programs=$root/$sanitizer
mkdir -p "$root/found" "$root/logs"
[ $# -gt 0 ] || { mapfile -t all < <(cargo +nightly fuzz list); set -- "${all[@]}"; }

cargo +nightly fuzz build --sanitizer "$sanitizer" --target-dir "$programs" >"$root/logs/build" 2>&1 || { tail -n 30 "$root/logs/build" >&2; exit 1; }
failed=0
for target in "$@"; do
  mkdir -p "$root/corpus/$target"
  log=$root/logs/$target
  # With a whole server in the program, to weigh how often each of its edges was passed takes longer than to run an input.
  few=()
  case $target in c_calls | requests | symbols | hosts) few=(-entropic=0 -use_counters=0 -reduce_inputs=0) ;; esac
  # Calls in a row, some 40 of them: longer ones meet the same states.
  case $target in c_calls) few+=(-max_len=160) ;; esac
  # Programs that keep what differs grow by it, and pictures may be large; what hangs is found after 20 s. Leaks are not
  # looked for: what the library keeps for forked children is kept on purpose.
  if ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 "$programs/$host/release/$target" "$root/corpus/$target" "fuzz/seeds/$target" \
    -runs="${FUZZ_RUNS:-100000}" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -rss_limit_mb=4096 -malloc_limit_mb=2048 \
    -artifact_prefix="$root/found/$target-" -print_final_stats=1 "${few[@]}" >"$log" 2>&1; then
    sed -n "s/^stat::number_of_executed_units: */$target: executions, nothing found: /p" "$log"
  else
    echo "$target: FOUND something, see $log"
    grep -m 3 -E "panicked|ERROR|SUMMARY" "$log" || true
    failed=1
  fi
done
exit $failed
