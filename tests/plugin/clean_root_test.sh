#!/usr/bin/env bash
# The packages in a root that has nothing but Debian's base: they bring what they need, the programs work there, and nothing
# stays behind them. Needs root, mmdebstrap and Debian's mirror.
# Usage: clean_root_test.sh <build folder> <source folder> [<suite>]
set -u
build=$(realpath "$1") source=$(realpath "$2")
suite=${3:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
skip() { echo "clean_root_test: skipped: $1" && exit 77; }
command -v cpack >/dev/null || skip 'there is no cpack'
[ "$(id -u)" = 0 ] || skip 'only root makes a root file system'
(source "$source/samples/guest/lib.sh" && need mmdebstrap) || skip 'there is no mmdebstrap'

mkdir "$work/debs"
cpack --config "$build/CPackConfig.cmake" -B "$work/packages" >"$work/cpack.log" 2>&1 || { cat "$work/cpack.log" && exit 1; }
mv "$work"/packages/*.deb "$work/debs/"
cat >"$work/debs/job" <<'JOB'
set -eu
export DEBIAN_FRONTEND=noninteractive
# What a package manager and a cache leave behind is not the packages'.
list() { find / -xdev -path /proc -prune -o -path /sys -prune -o -path /debs -prune -o -path /tmp -prune -o -path /var -prune -o -path /run -prune -o -print | sort; }
dpkg-query -W -f '${Package}\n' | sort >/tmp/packages
list >/tmp/before
apt-get install -y -qq --no-install-recommends /debs/*.deb >/tmp/log 2>&1 || { cat /tmp/log && exit 1; }
echo '== installed'
acrn-dm --version
vblk --version
vhost-user-blk --print-capabilities
truncate -s 1M /tmp/disk.img
vblk check -s 3,virtio-blk,/tmp/disk.img,writeback >/tmp/check
tail -n 1 /tmp/check
ls /debs/acrn-dm-rbd_* >/dev/null 2>&1 &&
  acrn-dm --dry_run -s 9,virtio-blk,rbd:rbd/vm1,conf=/nowhere vm1 2>&1 | grep -o 'conf=/nowhere: .*'
ldconfig -p | grep -q 'libacrn_blk.so.0 '
if ls /debs/acrn-dm-doc_* >/dev/null 2>&1; then test -s /usr/share/doc/acrn-dm-doc/html/index.html; fi
ours=$(dpkg-query -W -f '${Package}\n' | sort | comm -13 /tmp/packages -)
apt-get purge -y -qq $ours >/tmp/log 2>&1 || { cat /tmp/log && exit 1; }
echo '== left behind'
list | comm -13 /tmp/before - | grep -vE '^/etc/(ld.so.cache|.*-)$' || true  # not backups of user lists
JOB
mmdebstrap --quiet --variant=apt --include=ca-certificates --format=null --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="copy-in '$work/debs' /" --customize-hook='chroot "$1" sh /debs/job' "$suite" - >"$work/said" 2>&1
status=$?
cat "$work/said"
if [ "$status" != 0 ]; then
  grep -qE "^E: apt-get update|^E: setup_download" "$work/said" && skip "Debian's mirror cannot be reached"
  echo "FAILED: the packages in a clean $suite" && exit 1
fi
left=$(sed '1,/^== left behind/d' "$work/said")
grep -q '^== left behind' "$work/said" && [ -z "$left" ] || { echo "FAILED: left behind: $left" && exit 1; }
echo "the packages come and go in a clean $suite"
