#!/usr/bin/env bash
# Gets Zig and cargo-zigbuild, which compile C++ and link for another libc than that of this machine: zig.sh FOLDER. They stay in
# FOLDER for the next time. Prints the folder with the programs.
set -euo pipefail
folder=$1
if ! "$folder/bin/cargo-zigbuild" --version >/dev/null 2>&1; then
  python3 -m venv "$folder" >&2 || { echo "Zig is installed into a virtual environment of Python: apt-get install python3-venv" >&2; exit 1; }
  "$folder/bin/pip" install --quiet "cargo-zigbuild>=0.20,<0.30" "ziglang>=0.13" >&2 ||
    { echo "pip could not install cargo-zigbuild and ziglang: see the lines above" >&2; exit 1; }
fi
echo "$folder/bin"
