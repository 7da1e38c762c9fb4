#!/usr/bin/env bash
# Two builds of one commit, in folders with other names, make the same packages, byte for byte. Takes as long as two builds.
# Usage: reproducible_test.sh <source folder>
set -u
source=$(realpath "$1")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
for tool in git cpack dpkg-shlibdeps; do
  command -v "$tool" >/dev/null || { echo "reproducible_test: skipped: there is no $tool" && exit 77; }
done
commit=$(git -C "$source" rev-parse HEAD) || { echo 'reproducible_test: skipped: the sources are not a clone' && exit 77; }
SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# make_packages <folder>: they are in <folder>.packages
make_packages() {
  git clone -q "$source" "$1" && git -C "$1" checkout -q "$commit" && cd "$1" || return
  # g++'s precompiled headers hold the folder's name.
  cmake --preset release -DACRN_TESTS=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON && cmake --build build/release &&
    cpack --config build/release/CPackConfig.cmake -B "$1.packages"
}
for folder in "$work/one" "$work/another/folder"; do
  mkdir -p "${folder%/*}"
  (make_packages "$folder") >"$work/log" 2>&1 || { tail -n 30 "$work/log" && exit 1; }
done
failures=0
for package in "$work"/one.packages/*.deb; do
  cmp "$package" "$work/another/folder.packages/${package##*/}" || failures=$((failures + 1))
done
[ "$failures" = 0 ] && [ -e "$package" ] && echo "$(ls "$work"/one.packages/*.deb | wc -l) packages are the same"
exit "$failures"
