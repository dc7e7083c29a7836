#!/usr/bin/env bash
# Makes a site of all pages, with search, and the reference of the C header and of the crates: docs.sh FOLDER. A link or an anchor
# that leads nowhere is an error, and so is a warning of rustdoc or of Doxygen. Prints the page to open.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")

scripts/tools.sh python3=python3 doxygen=doxygen
if [ ! -x "$out/tools/bin/mkdocs" ]; then
  python3 -m venv "$out/tools" || { echo "the site needs Python with venv: apt-get install python3-venv" >&2; exit 1; }
  "$out/tools/bin/pip" install --quiet "mkdocs>=1.6,<2" "mkdocs-material>=9.6,<10"
fi

rm -rf "$out/pages" "$out/site"
mkdir -p "$out/pages"
git ls-files -z docs 'bindings/*/README.md' deploy c_examples CONTRIBUTING.md SECURITY.md CHANGELOG.md LICENSE-MIT |
  xargs -0 cp --parents -t "$out/pages"
rm "$out/pages/docs/site.yml"
cp README.md "$out/pages/index.md"
# Links to the page of the project lead to the first page of the site.
sed -i 's#](\(\.\./\)*README\.md#](\1index.md#g' "$out"/pages/*.md "$out"/pages/docs/*.md "$out"/pages/docs/guide/*.md
printf '# C\n\n[Functions, structures and numbers of `seatmeter.h`](c/seatmeter_8h.html)\n' >"$out/pages/c.md"
printf '# Rust\n\n[The crates](rust/seatmeter/index.html)\n' >"$out/pages/rust.md"

echo "making the reference of the C header" >&2
mkdir -p "$out/pages/c" "$out/pages/rust"
doxygen - >"$out/doxygen.log" 2>&1 <<EOF || { cat "$out/doxygen.log" >&2; exit 1; }
PROJECT_NAME = seatmeter
PROJECT_NUMBER = $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
INPUT = include/seatmeter.h
OUTPUT_DIRECTORY = $out/pages
HTML_OUTPUT = c
GENERATE_LATEX = NO
OPTIMIZE_OUTPUT_FOR_C = YES
EXTRACT_ALL = YES
JAVADOC_AUTOBRIEF = YES
HAVE_DOT = NO
QUIET = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
EOF
echo "making the reference of the crates" >&2
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links -A rustdoc::redundant-explicit-links -A rustdoc::bare-urls" cargo doc --quiet --no-deps -p seatmeter -p seatmeter-protocol -p seatmeter-server \
  --target-dir "$out/rustdoc"
cp -r "$out/rustdoc/doc/." "$out/pages/rust/"

echo "making the site" >&2
cp docs/site.yml "$out/mkdocs.yml"
(cd "$out" && NO_MKDOCS_2_WARNING=1 tools/bin/mkdocs build --quiet --strict)
echo "$out/site/index.html"
echo "The search needs a web server: python3 -m http.server --bind 127.0.0.1 --directory $out/site" >&2
