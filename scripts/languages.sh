#!/usr/bin/env bash
# Finds what the modules in bindings/ need besides their languages, or installs it: for the languages that are on this machine.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }

more=()
if has python3; then more+=(pip3=python3-pip); fi
if has node; then more+=(npm=npm); fi
if has go; then more+=(cc=gcc); fi
if has javac; then more+=(/usr/share/java/jna.jar=libjna-java); fi
exec "$(dirname "$0")/tools.sh" "${more[@]}"
