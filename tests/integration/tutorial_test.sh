#!/bin/bash
# Every command of docs/tutorial.md works, one after the other, and prints what the page shows.
# usage: tutorial_test.sh <acrn-dm> <vblk> <source folder>
. "$(dirname "$0")/lib.sh"
blocks=$(realpath "$(dirname "$0")/page_blocks.py")
source=$(realpath "$3")
export PATH=$(realpath "${1%/*}"):$(realpath "${2%/*}"):$PATH:/usr/sbin:/sbin
have qemu-img qemu-system-x86_64 socat python3 mkfs.ext4 || {
  echo 'skipped: qemu-img, qemu-system-x86_64, socat, python3 or mkfs.ext4 is missing' && exit 77
}
uml=$("$source/samples/guest/get_uml.sh" "$source/build/guest" 2>&1) || { echo "skipped: ${uml##*$'\n'}" && exit 77; }
mkdir -p "$work/build/tutorial"
ln -s "$source/samples" "$work/samples"
ln -s "$source/build/guest" "$work/build/guest"
cd "$work/build/tutorial" || exit 1

out=$(timeout -k 5 200 python3 "$blocks" "$source/docs/tutorial.md" console 2>&1)
expect_equal 'what is shown' "$?$out" 0
for pid in $(pgrep -f '[c]md_monitor vm1.control'); do
  [ "$(readlink "/proc/$pid/cwd")" = "$PWD" ] || continue  # somebody else's
  fail 'acrn-dm runs on'
  kill -9 "$pid"
done
finish
