#!/usr/bin/env bash
# Prints a Python with the packages that tests of alerts and manifests need, and makes it the first time.
#
#   scripts/test_python.sh TARGET      the folder for what is built; without pip or a network, python3 is printed
set -euo pipefail

venv=$1/test-python
if [ ! -e "$venv/ready-2" ]; then
  python3 -m venv "$venv" >&2 &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
      aiosmtpd==1.4.6 standardwebhooks==1.1.0 cryptography==50.0.2 kubernetes-validate==1.37.0 >&2 &&
    touch "$venv/ready-2" ||
    { echo "the tests of mails, webhooks and manifests will be skipped" >&2; echo python3; exit 0; }
fi
echo "$(realpath "$venv")/bin/python"
