#!/bin/bash
# Every command of the README works, and what it shows is what is printed. It has at most 150 lines.
# usage: readme_test.sh <acrn-dm> <vblk> <source folder> <an ELF file that is booted as firmware is>
. "$(dirname "$0")/lib.sh"
blocks=$(realpath "$(dirname "$0")/page_blocks.py")
readme=$3/README.md
elf=$4
export PATH=$(dirname "$1"):$(dirname "$2"):$PATH:/usr/sbin:/sbin
have qemu-img python3 mkfs.ext4 || { echo 'skipped: qemu-img, python3 or mkfs.ext4 is missing' && exit 77; }
mkdir -p "$work/build/try"
ln -s "$3/include" "$work/include"
cd "$work/build/try" || exit 1

# What its commands find: the sources, and a machine's files.
cp "$elf" CLOUDHV.fd
bzimage vmlinuz
echo ramdisk >initrd.gz
truncate -s 1M root.img
qemu-img create -q -f qcow2 debian.qcow2 1M

run python3 "$blocks" "$readme" console
expect_equal 'what is shown' "$status$out$err" 0

commands=0
while IFS= read -r line; do
  commands=$((commands + 1))
  case $line in
    'acrn-dm '*)
      eval "run acrn-dm --dry_run ${line#acrn-dm }"
      expect_equal "$line" "$status$err" 0
      ;;
    ./*) [ -x "$3/${line%% *}" ] || fail "$line: there is no such program" ;;
    'cmake '* | 'cpack '*) ;; # of package_test.sh
    *) fail "$line: which test carries this out?" ;;
  esac
done < <(python3 "$blocks" "$readme" commands)
[ "$commands" -ge 7 ] || fail "only $commands commands found"
[ "$(wc -l <"$readme")" -le 150 ] || fail 'the README has more than 150 lines'
finish
