#!/usr/bin/env bash
# The device beside the file beneath it, over block sizes, depths, cache modes and file systems: one run of `vblk bench
# --baseline` each, which takes turns with the same pattern by preadv and pwritev. Prints a table of ratios; all that was
# measured goes to build/bench/<commit>.json.
#   matrix.sh [seconds]      for each of them; default: 2
# Its images, 256 MiB each, are in $TMPDIR (or /var/tmp) and /dev/shm.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
seconds=${1:-2}
./bootstrap.sh --target vblk >/dev/null
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/acrn-bench-XXXXXX")
memory=$(mktemp -d /dev/shm/acrn-bench-XXXXXX)
trap 'rm -rf "$folder" "$memory"' EXIT
dd if=/dev/urandom of="$folder/disk.img" bs=1M count=256 status=none
cp "$folder/disk.img" "$memory/disk.img"
mkdir -p build/bench
results=build/bench/$(git rev-parse --short HEAD 2>/dev/null || echo unknown).json
: >"$results"

# row <name> <image> <options> <rw> <bytes>: depths 1, 16 and 32
row() {
  local depth ratio line
  line=$(printf '%-34s' "$1")
  for depth in 1 16 32; do
    cat "$2" >/dev/null # a page cache that was taken away is no part of this
    build/release/dm/tools/vblk bench -s "3,virtio-blk,$2,$3" --rw "$4" --bs "$5" --qd $depth --seconds "$seconds" \
      --baseline --json >"$folder/one.json"
    sed "1s|{|{\"name\": \"$1\",|" "$folder/one.json" >>"$results"
    ratio=$(sed -n 's/^  "ratio": \([0-9.]*\).*/\1/p' "$folder/one.json")
    line+=$(printf '%7.2f' "$ratio")
  done
  echo "$line"
}

printf '%-34s%7s%7s%7s\n' 'ratio to the file, at depth' 1 16 32
row '4 KiB random read, ext4' "$folder/disk.img" writeback randread 4096
row '4 KiB random read, tmpfs' "$memory/disk.img" writeback randread 4096
row '4 KiB random write, tmpfs' "$memory/disk.img" writeback randwrite 4096
row '4 KiB random write, ext4' "$folder/disk.img" writeback randwrite 4096
row '64 KiB random read, ext4' "$folder/disk.img" writeback randread 65536
row '64 KiB random write, tmpfs' "$memory/disk.img" writeback randwrite 65536
row '1 MiB random read, ext4' "$folder/disk.img" writeback randread 1048576
row '4 KiB random read, nocache' "$folder/disk.img" nocache,writeback randread 4096
row '4 KiB read, nocache' "$folder/disk.img" nocache,writeback read 4096
row '64 KiB random read, nocache' "$folder/disk.img" nocache,writeback randread 65536
row '4 KiB random write, writethru' "$folder/disk.img" writethru randwrite 4096
echo "all figures: $results"
