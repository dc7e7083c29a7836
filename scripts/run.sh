#!/usr/bin/env bash
# The main job, as a newcomer would do it by hand: run.sh EXAMPLES
# KEEP=1 leaves the server running and says how to use and stop it.
set -euo pipefail
examples=$1
server=$examples/seatmeterd
. "$(dirname "$0")/trial_server.sh"

step "a license server with a demo license: four concurrent instances"
"$server" init --demo --data "$work/server"

serve --listen 127.0.0.1:0
echo "listening on $url"
echo "dashboard: $url/dashboard (KEEP=1 make run leaves it running, with a user)"

export SEATMETER_SERVER=$url SEATMETER_STATE_DIR=$work/device
step "the documented snippet reads a picture with four barcodes, and ends without a word"
"$examples/documented_snippet" c_examples/images/four_barcodes.png

step "another program on the same device reports what the first left behind"
"$examples/report_leftovers"

step "what the license server has recorded"
"$server" usage show --data "$work/server"

if [ -n "${KEEP:-}" ]; then
  step "the server stays"
  password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
  echo "$password" | "$server" user create demo --role admin --data "$work/server"
  echo "dashboard: $url/dashboard, user demo, password $password"
  echo "SEATMETER_SERVER=$url SEATMETER_STATE_DIR=$work/device $examples/documented_snippet c_examples/images/four_barcodes.png"
  echo "$server usage show --data $work/server"
  leave_running
fi
