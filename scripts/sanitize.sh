#!/usr/bin/env bash
# The library's unit tests and the C programs under AddressSanitizer and ThreadSanitizer; of the library, what is unsafe and
# needs no kernel, under Miri. What the toolchain lacks is skipped with a line. Each has a target folder of its own:
# the first run builds everything.
#
#   scripts/sanitize.sh [address] [thread] [miri]
set -euo pipefail
cd "$(dirname "$0")/.."

# Programs of these tests are what customers' programs do; the rest of the suite has no C program in it, or needs an
# address space that a sanitizer does not leave.
C_SUITE=(--test host --test c_api --test license --test dbr)
NOT_IN_C=(--skip clocks:: --skip standby:: --skip stored:: --skip abi:: --skip header:: --skip symbols:: --skip names::
  --skip template_keys::)
# Memory that threads share, and tables: what is unsafe in them, or has a lock, and needs neither kernel nor assembler.
CORE=(os::locks::tests os::published seats::append_list usage::duplicate_filter usage::unique capi::reader_cache capi::text)
# AddressSanitizer joins the main thread, and ends a program in which that has ended by itself.
NOT_HERE=(--skip main_thread_has_ended --skip too_little_address_space --skip memory_is_too_little --skip memory_does_not_grow)

# ThreadSanitizer knows nothing of threads that are canceled, and ends the program when their numbers come again.
NOT_IN_THREADS=(--skip canceled::)

skip() { echo "SKIPPED: $1" >&2; }

host=$(rustc -vV | sed -n 's/^host: //p')
if ! rustc +nightly --version >/dev/null 2>&1; then
  skip "sanitizers need a nightly toolchain (rustup toolchain install nightly)"
  exit 0
fi
libraries=$(rustc +nightly --print sysroot)/lib/rustlib/$host/lib
target=${CARGO_TARGET_DIR:-target}

# The server is a program of its own, and built as always.
if [ -z "${SEATMETERD:-}" ]; then
  cargo build --quiet -p seatmeter-server
  export SEATMETERD=$PWD/$target/debug/seatmeterd
fi
# What a test forks and ends by a signal has no leaks to tell of, and the library keeps what a forked child may read.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
# Some programs end while threads are inside, as their tests want it.
export TSAN_OPTIONS=suppressions=$PWD/tests/c/thread.supp:die_after_fork=0:halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0

# What follows the names of the sanitizer is for the tests.
sanitize() {
  local name=$1 short=$2 runtime
  shift 2
  runtime=$(ls "$libraries"/librustc-*_rt."$short".a 2>/dev/null | head -n 1)
  if [ -z "$runtime" ]; then
    skip "this nightly has no ${name}sanitizer for $host"
    return
  fi
  local test=(cargo +nightly test --quiet --no-fail-fast --target "$host" --target-dir "$target/sanitize/$name" -p seatmeter)
  export RUSTFLAGS=-Zsanitizer=$name SEATMETER_SANITIZER_RUNTIME=$runtime
  local failed=0
  "${test[@]}" --lib -- "${NOT_HERE[@]}" "$@" || failed=1
  "${test[@]}" "${C_SUITE[@]}" -- "${NOT_HERE[@]}" "${NOT_IN_C[@]}" "$@" || failed=1
  unset RUSTFLAGS SEATMETER_SANITIZER_RUNTIME
  return $failed
}

run_address() { sanitize address asan; }

# With a standard library of its own: ThreadSanitizer takes for a race what it does not see put in order, and much of that is
# done in there.
run_thread() {
  if [ ! -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    skip "this nightly has no source of the standard library, which ThreadSanitizer needs (rustup component add --toolchain nightly rust-src)"
    return
  fi
  CARGO_UNSTABLE_BUILD_STD=std,panic_abort,test sanitize thread tsan "${NOT_IN_THREADS[@]}"
}

run_miri() {
  if ! cargo +nightly miri --version >/dev/null 2>&1; then
    skip "this nightly has no Miri (rustup component add --toolchain nightly miri rust-src)"
    return
  fi
  # What is published lives as long as the process. A brief lock calls the kernel while it waits.
  MIRIFLAGS=-Zmiri-ignore-leaks cargo +nightly miri test --quiet --target-dir "$target/sanitize/miri" \
    -p seatmeter --no-default-features --lib -- "${CORE[@]}" --skip brief_lock
}

[ $# -gt 0 ] || set -- address thread miri
for each in "$@"; do "run_$each"; done
