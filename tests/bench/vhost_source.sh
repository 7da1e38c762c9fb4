#!/usr/bin/env bash
# What our disk costs on top of a vhost-user back end: qemu-storage-daemon driven by vblk bench directly (--connect), and the
# same through our device and its vhost-user source, in turns. Prints requests a second, medians, and their ratio.
#   --rounds N      how often (5)
#   --seconds S     for each run (2)
#   --programs DIR  where vblk is (build/release/dm)
set -euo pipefail
cd "$(dirname "$0")/../.."
source samples/guest/lib.sh
rounds=5 seconds=2 programs=''
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --programs) programs=$2 ;;
    *) echo "vhost_source.sh: $1: not an option" >&2 && exit 64 ;;
  esac
  shift 2
done
if [ -z "$programs" ]; then
  ./bootstrap.sh --target vblk
  programs=build/release/dm
fi
need qemu-system-common python3
vblk=$programs/tools/vblk
work=$(mktemp -d)
daemons=()
trap 'kill "${daemons[@]}"; wait; rm -r "$work"' EXIT

# serve <name>: the file, in a daemon of its own, since each has one client at a time.
serve() {
  qemu-storage-daemon --object iothread,id=loop \
    --blockdev "driver=file,node-name=disk,filename=$work/disk,locking=off,aio=${AIO:-io_uring}" \
    --export "type=vhost-user-blk,id=disk,node-name=disk,writable=on,iothread=loop,addr.type=unix,addr.path=$work/$1" &
  daemons+=($!)
  until [ -S "$work/$1" ]; do
    kill -0 "${daemons[-1]}"
    read -rt 0.05 <> <(:) || :
  done
}
dd if=/dev/urandom of="$work/disk" bs=1M count=256 status=none
serve direct
serve source

# iops <bench arguments>...
iops() {
  "$vblk" bench "$@" --runtime "$seconds" --ramp 0.2 --json |
    python3 -c 'import json, sys
def find(value):
    if isinstance(value, dict):
        if "iops" in value: return value["iops"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            found = find(part)
            if found is not None: return found
print(round(find(json.load(sys.stdin))))'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

printf '%-28s %10s %10s %6s\n' requests direct source ratio
for what in 'randread 4k 1' 'randread 4k 16' 'randwrite 4k 1' 'randwrite 4k 16' 'read 1M 1' 'read 1M 16' 'write 1M 16'; do
  read -r rw bs depth <<<"$what"
  for ((round = 0; round < rounds; round++)); do
    iops --connect "vhost-user=$work/direct" --rw "$rw" --bs "$bs" --qd "$depth" >>"$work/a"
    iops -s "9,virtio-blk,vhost-user:$work/source,writeback" --rw "$rw" --bs "$bs" --qd "$depth" >>"$work/b"
  done
  a=$(median <"$work/a") b=$(median <"$work/b")
  rm "$work/a" "$work/b"
  printf '%-28s %10d %10d %6s\n' "$rw $bs depth $depth" "$a" "$b" "$(awk "BEGIN {printf \"%.2f\", $b / $a}")"
done
