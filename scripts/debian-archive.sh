#!/usr/bin/env bash
# Prints the address of an archive of Debian: MIRROR, or the one from which this system gets its own packages; nothing if apt names
# none.
set -euo pipefail
# shellcheck disable=SC2016 # The words are for apt-get.
echo "${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Component: main' 2>/dev/null |
  head -n 1 || true)}"
