#!/usr/bin/env bash
# Makes a clean system of a suite of Debian, with nothing but apt: clean-system.sh SUITE FOLDER. The system stays as an archive in
# FOLDER for the next time. Prints its root. Needs root, and an archive of Debian: MIRROR, or that of this machine.
set -euo pipefail
suite=$1
out=$2
root=$out/$suite
mirror=$("$(dirname "$0")/debian-archive.sh")

rm -rf "$root"
if [ ! -s "$out/$suite.tar" ]; then
  echo "making a system of Debian $suite" >&2
  debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$out/debootstrap.log"
  tar -C "$root" -cf "$out/$suite.tar.new" .
  mv "$out/$suite.tar.new" "$out/$suite.tar"
else
  mkdir "$root"
  tar -C "$root" -xf "$out/$suite.tar"
fi
echo "$root"
