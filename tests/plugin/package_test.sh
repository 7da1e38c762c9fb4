#!/usr/bin/env bash
# The packages of the library, as a host's author gets them: what they export, and that the examples are built with them.
# Usage: package_test.sh <build folder> <source folder> [--accept]
set -u
build=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}
# expect <what> <command...>: it succeeds.
expect() {
  local what=$1
  shift
  "$@" >"$work/output" 2>&1 || { fail "$what" && cat "$work/output"; }
}
for tool in cpack dpkg-deb dpkg-shlibdeps pkg-config nm objdump; do
  command -v "$tool" >/dev/null || { echo "package_test: skipped: there is no $tool" && exit 77; }
done

cpack --config "$build/CPackConfig.cmake" -B "$work" >"$work/cpack.log" 2>&1 || { cat "$work/cpack.log" && exit 1; }
root=$work/root
modules=() pages=()
[ ! -e "$build/modules/acrn_block_rbd.so" ] || modules=(acrn-dm-rbd)
[ ! -e "$build/site" ] || pages=(acrn-dm-doc)
for package in acrn-dm libacrn-blk0 libacrn-blk-dev "${modules[@]}" "${pages[@]}"; do
  file=$(echo "$work/$package"_*.deb)
  [ -f "$file" ] || { fail "there is no package $package" && continue; }
  dpkg-deb -x "$file" "$root"
done
lib=$(dirname "$(find "$root" -name libacrn_blk.a)")
[ -e "$lib/libacrn_blk.so.0" ] || fail "the library is not beside the static one, in $lib"
dpkg-deb -f "$work"/libacrn-blk-dev_*.deb Depends | grep -q 'libacrn-blk0 (= ' || fail 'the development package needs the library'
[ -e "$root/usr/bin/acrn-dm" ] || fail 'acrn-dm is not in its package'

# --- a module has one name, and nobody else needs Ceph
for module in "${modules[@]}"; do
  object=$(find "$root" -path '*/acrn-dm/acrn_block_rbd.so')
  [ "$(nm -D --defined-only "$object" | awk '{print $3}')" = acrn_block_rbd ] || fail "$object exports more than acrn_block_rbd"
  dpkg-deb -f "$work/$module"_*.deb Depends | grep -q 'librbd1' || fail "$module does not need librbd1"
  dpkg-deb -f "$work"/acrn-dm_*.deb Depends | grep -qE 'librbd|librados' && fail 'acrn-dm needs Ceph'
  "$root/usr/bin/acrn-dm" --dry_run -s 9,virtio-blk,rbd:rbd/vm1,conf=/nowhere vm1 >"$work/output" 2>&1
  grep -q 'rbd:rbd/vm1: conf=/nowhere: ' "$work/output" || fail "acrn-dm does not find $module: $(cat "$work/output")"
done

readelf -S "$lib/libacrn_blk.a" 2>/dev/null | grep -q '\.debug_info' && fail 'the static library has debug information'

# --- nothing but the interface
names=$(sed -n 's/^ACRN_BLK_API .*\b\(acrn_blk_[a-z_]*\)(.*/\1/p' "$root/usr/include/acrn-blk.h" | sort)
[ "$(wc -l <<<"$names")" -gt 20 ] || fail "few functions in acrn-blk.h: $names"
exported=$(nm -D --defined-only "$lib/libacrn_blk.so.0" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort)
[ "$exported" = "$names" ] || fail "the shared library exports others than acrn-blk.h declares: $(diff <(echo "$names") <(echo "$exported"))"
exported=$(nm -g --defined-only "$lib/libacrn_blk.a" 2>/dev/null | awk 'NF == 3 {print $3}' | sort)
[ "$exported" = "$names" ] || fail "the static library exports others: $(diff <(echo "$names") <(echo "$exported") | head)"
version=$(sed -n 's/^#define ACRN_BLK_VERSION 0x\(..\)\(..\)\(..\)u/0x\1 0x\2 0x\3/p' "$root/usr/include/acrn-blk.h")
# shellcheck disable=SC2086
[ "$(printf '%d.%d.%d' $version)" = "$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --modversion acrn-blk)" ] || fail "ACRN_BLK_VERSION is another than the package's"
objdump -p "$lib/libacrn_blk.so.0" | grep -q 'SONAME *libacrn_blk.so.0$' || fail 'its name is not libacrn_blk.so.0'
# What a library must not do: end its host, or change what a signal does. std::terminate() and ACRN_CHECK abort. It forks for a
# disk with a format, and _exit() is the child's.
for call in exit quick_exit sigaction signal system; do
  nm -D --undefined-only "$lib/libacrn_blk.so.0" | grep -qE " U $call(@|\$)" && fail "it calls $call()"
done

# --- what is in the header stays as hosts were compiled with it: a library of empty functions has its types. A change that is
# meant goes into acrn_blk.abi, by `package_test.sh <build folder> <source folder> --accept`.
awk 'BEGIN {print "#include <acrn-blk.h>"}
  /^ACRN_BLK_API/ {inside = 1}
  inside {text = text " " $0}
  inside && /;/ {sub(/ACRN_BLK_API/, "", text); sub(/;.*/, " {__builtin_trap();}", text); print text; text = ""; inside = 0}' \
  "$root/usr/include/acrn-blk.h" >"$work/stub.c"
expect 'a library of empty functions' cc -g -shared -fPIC -I"$root/usr/include" -Wl,--version-script="$source/dm/plugin/acrn_blk.map" \
  -Wl,-soname,libacrn_blk.so.0 -o "$work/libstub.so" "$work/stub.c"
if ! command -v abidiff >/dev/null; then
  echo 'package_test: skipped: the comparison of the interface (abigail-tools is not installed)'
elif [ "${3:-}" = --accept ]; then
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs --drop-undefined-syms "$work/libstub.so" |
    sed -E "s/ path='[^']*stub.c'/ path='acrn-blk.h'/; s/ filepath='[^']*'//g" >"$source/tests/plugin/acrn_blk.abi"
else
  expect 'the interface, against acrn_blk.abi' abidiff --no-added-syms "$source/tests/plugin/acrn_blk.abi" "$work/libstub.so"
fi

# --- Debian's rules. Nobody has asked Debian for these packages, so no bug is closed by them.
if command -v lintian >/dev/null; then
  expect 'lintian' lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$work"/*.deb
else
  echo 'package_test: skipped: lintian (it is not installed)'
fi

# --- the manual page has every function
gunzip -r "$root/usr/share/man"
page=$root/usr/share/man/man3/acrn_blk.3
for name in $names; do
  grep -q "^\.Fn $name\( \|\$\)" "$page" || fail "$name is not in acrn_blk(3)"
done
if command -v mandoc >/dev/null; then
  for page in "$root"/usr/share/man/*/*; do expect "${page##*/}" mandoc -Tlint -W warning "$page"; done
else
  echo 'package_test: skipped: the form of manual pages (mandoc is not installed)'
fi

# --- the header, in every language that its hosts are written in
echo '#include <acrn-blk.h>' >"$work/only.c"
for standard in gnu89 c99 c11; do
  expect "acrn-blk.h in $standard" cc -std=$standard -Wall -Wextra -Werror -pedantic -I"$root/usr/include" -c -o "$work/only.o" "$work/only.c"
done
for standard in c++11 c++20; do
  expect "acrn-blk.h in $standard" c++ -x c++ -std=$standard -Wall -Wextra -Werror -I"$root/usr/include" -c -o "$work/only.o" "$work/only.c"
done

# --- the example, with the shared and with the static library
export PKG_CONFIG_PATH=$lib/pkgconfig
head -c 8192 /dev/urandom >"$work/disk.img"
want=$(od -An -v -tx1 -w16 -j1024 -N512 "$work/disk.img" | sed 's/^ //')
# shellcheck disable=SC2046
expect 'read_sector' cc -Wall -Wextra -Werror -o "$work/shared" "$source/samples/embed/read_sector.c" $(pkg-config --cflags --libs acrn-blk)
got=$(LD_LIBRARY_PATH=$lib "$work/shared" "$work/disk.img" 2 | sed 's/ $//')
[ "$got" = "$want" ] || fail "read_sector says of sector 2: $got"
# shellcheck disable=SC2046
expect 'read_sector, static' cc -o "$work/static" "$source/samples/embed/read_sector.c" $(pkg-config --cflags acrn-blk) "$lib/libacrn_blk.a" \
  $(pkg-config --libs $(pkg-config --print-requires-private acrn-blk)) -lstdc++ -lm -lpthread
got=$("$work/static" "$work/disk.img" 2 | sed 's/ $//')
[ "$got" = "$want" ] || fail "read_sector with the static library says of sector 2: $got"
version_wanted=$(pkg-config --modversion acrn-blk)
cat >"$work/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(host C)
find_package(acrn-blk ${version_wanted} REQUIRED)
add_executable(host $source/samples/embed/read_sector.c)
target_link_libraries(host acrn::acrn_blk)
CMAKE
expect 'read_sector by CMake' cmake -S "$work" -B "$work/b" -DCMAKE_PREFIX_PATH="$root/usr"
expect 'read_sector by CMake' cmake --build "$work/b"

[ "$failures" = 0 ] && echo "the packages export $(wc -l <<<"$names") functions, and the example runs with them"
exit "$failures"
