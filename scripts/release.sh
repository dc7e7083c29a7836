#!/usr/bin/env bash
# Makes everything of a release but publishing it: release.sh TARGET. Checks and tests the tree, builds, and puts packages, modules,
# bills of materials and checksums into TARGET/release-VERSION.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
out=$target/release-$version

fail() {
  echo "$*" >&2
  exit 1
}
[ -z "$(git status --porcelain)" ] || fail "the tree has changes that are not committed: commit or remove them first"
grep -q "^## $version\b" CHANGELOG.md || fail "CHANGELOG.md has no heading \"## $version\""
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then fail "v$version is released already: raise the version in Cargo.toml"; fi

command -v cargo-deny >/dev/null || fail "licenses and sources must be checked: cargo install cargo-deny"

# A commit that has passed is not tested a second time when a later step has failed.
head=$(git rev-parse HEAD)
if [ "$(cat "$target/tested" 2>/dev/null)" != "$head" ]; then
  make check check-abi
  make test
  echo "$head" >"$target/tested"
fi
# What is published runs on old systems, too, and others can build the same bytes.
scripts/reproducible.sh "$target" >"$target/reproducible.sha256"
built=$(scripts/portable.sh "$target/portable")
musl=$(scripts/musl.sh "$target/musl")
scripts/test-musl.sh "$musl"
rm -rf "$target/deb" "$target/rpm" "$target/modules"
make deb rpm modules image BUILT="$built"
make sbom docs
scripts/bindings.sh web "$target/bindings" >/dev/null

rm -rf "$out"
mkdir -p "$out"
git archive --format=tar.gz --prefix="seatmeter-$version/" -o "$out/seatmeter-$version.tar.gz" HEAD
tar -C "$target/docs" --transform "s|^site|seatmeter-$version-docs|" -czf "$out/seatmeter-$version-docs.tar.gz" site
cp "$target"/deb/*.deb "$target"/rpm/*.rpm "$target"/sbom/*.cdx.json "$target/seatmeterd.oci.tar" "$out/"
for module in "$target"/modules/python/*.whl "$target"/modules/node/*.tgz "$target"/modules/java/seatmeter.jar "$target"/bindings/web/*.tgz; do
  if [ -f "$module" ]; then cp "$module" "$out/"; else echo "not in the release, because it was skipped: $module" >&2; fi
done
tar -C "$musl" --transform "s|^|seatmeter-$version-musl/|" -czf "$out/seatmeter-$version-$(uname -m)-musl.tar.gz" seatmeterd seatmeter-doctor libseatmeter.so
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls "$out"
echo "To publish: git tag -s v$version, push the tag, and upload $out." >&2
