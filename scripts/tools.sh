#!/usr/bin/env bash
# Finds the tools that cargo does not bring, and installs missing ones where apt-get can.
#
#   scripts/tools.sh [TOOL=PACKAGE …]      besides those that all targets need; a tool is a program or a file's path
set -euo pipefail

declare -A package=([cc]=gcc [c++]=g++ [cmake]=cmake [valgrind]=valgrind [nm]=binutils [curl]=curl [cargo]="")
tools=(cargo cc c++ cmake valgrind nm curl)
for more in "$@"; do
  tools+=("${more%%=*}")
  package[${more%%=*}]=${more#*=}
done
# Debian keeps the programs of PostgreSQL outside the path.
for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done
missing=()
for tool in "${tools[@]}"; do
  { command -v "$tool" >/dev/null 2>&1 || [ -e "$tool" ]; } && continue
  if [ -z "${package[$tool]}" ]; then
    echo "$tool is missing: install Rust (1.89 or newer) from your distribution or with rustup, then try again." >&2
    exit 1
  fi
  missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root=(sudo -n); else as_root=(false); fi
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "${as_root[*]}" = false ]; then
  echo "these packages are missing: ${missing[*]}. Install them (Debian, Ubuntu: sudo apt-get install ${missing[*]}), then try again." >&2
  exit 1
fi
echo "installing: ${missing[*]}" >&2
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >&2; then
  echo "apt-get could not install ${missing[*]}: install them by hand, then try again." >&2
  exit 1
fi
