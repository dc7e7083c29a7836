# shellcheck shell=bash disable=SC2034
# For scripts that show a server at work, to be sourced after `server` is set: a folder in `work`, a server in it that
# ends with the script, and lines that say what comes.
work=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

# Say what comes next.
step() { printf '\n== %s\n' "$*"; }

# Start the server with these arguments, and wait until `url` is known.
serve() {
  "$server" serve --data "$work/server" "$@" >"$work/listening" 2>"$work/server.log" &
  pid=$!
  for _ in $(seq 100); do
    url=$(sed -n 's/^seatmeterd listening on //p' "$work/listening")
    [ -n "$url" ] && return
    kill -0 "$pid" 2>/dev/null || { echo "the server did not start:" >&2; cat "$work/server.log" >&2; exit 1; }
    sleep 0.1
  done
  echo "the server did not say within 10 s where it listens:" >&2
  cat "$work/server.log" >&2
  exit 1
}

# Leave the server running when the script ends, and say how to stop it.
leave_running() {
  echo "to stop it: kill $pid; rm -r $work"
  trap - EXIT
  disown "$pid"
}
