#!/usr/bin/env bash
# A qcow2 image by four ways, in turns; medians of requests a second, and what each has of the first one's:
#   daemon       qemu-storage-daemon, driven by vblk bench itself (--connect)
#   vhost-user:  our disk on what such a daemon serves
#   reader=      our disk on the image, for each program that can read it for us
#   share=on     the first of them that sees the guest's memory
#
#   --rounds N      how often (5)
#   --seconds S     for each run (1)
#   --programs DIR  where vblk is (build/release/dm)
set -euo pipefail
cd "$(dirname "$0")/../.."
source samples/guest/lib.sh
rounds=5 seconds=1 programs=''
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --programs) programs=$2 ;;
    *) echo "images.sh: $1: not an option" >&2 && exit 64 ;;
  esac
  shift 2
done
if [ -z "$programs" ]; then
  ./bootstrap.sh --target vblk
  programs=build/release/dm
fi
need qemu-system-common qemu-utils python3
vblk=$programs/tools/vblk
work=$(mktemp -d)
daemons=()
trap 'kill "${daemons[@]}"; wait; rm -r "$work"' EXIT

dd if=/dev/urandom of="$work/raw" bs=1M count=256 status=none
for image in daemon source qsd nbd share; do qemu-img convert -f raw -O qcow2 "$work/raw" "$work/$image.qcow2"; done

# serve <name>: that image. A daemon has one client at a time.
serve() {
  local file="{\"driver\": \"file\", \"filename\": \"$work/$1.qcow2\", \"aio\": \"${AIO:-threads}\"}"
  qemu-storage-daemon --object iothread,id=loop \
    --blockdev "{\"driver\": \"qcow2\", \"node-name\": \"disk\", \"file\": $file}" \
    --export "type=vhost-user-blk,id=disk,node-name=disk,writable=on,iothread=loop,addr.type=unix,addr.path=$work/$1" &
  daemons+=($!)
  until [ -S "$work/$1" ]; do
    kill -0 "${daemons[-1]}"
    read -rt 0.05 <> <(:) || :
  done
}
serve daemon
serve source
ways=(daemon vhost-user: reader=daemon reader=nbd share=on)
disks=(--connect "vhost-user=$work/daemon"
       -s "9,virtio-blk,vhost-user:$work/source,writeback"
       -s "9,virtio-blk,$work/qsd.qcow2,format=qcow2,reader=qemu-storage-daemon,writeback"
       -s "9,virtio-blk,$work/nbd.qcow2,format=qcow2,reader=qemu-nbd,writeback"
       -s "9,virtio-blk,$work/share.qcow2,format=qcow2,reader=qemu-storage-daemon,share=on,writeback")

median() { sort -g | sed -n "$(((rounds + 1) / 2))p"; }
printf "%-15s" requests
for way in "${ways[@]}"; do printf "%13s" "$way"; done
echo
for what in 'randread 4k 1' 'randread 4k 16' 'randwrite 4k 1' 'randwrite 4k 16' 'read 64k 4' 'read 1M 4' 'write 1M 4'; do
  read -r rw bs depth <<<"$what"
  for ((round = 0; round < rounds; round++)); do
    for way in "${!ways[@]}"; do
      "$vblk" bench "${disks[@]:way * 2:2}" --rw "$rw" --bs "$bs" --qd "$depth" --runtime "$seconds" --ramp 0.2 --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["device"]["iops"])' >>"$work/$way"
    done
  done
  printf "%-15s" "$rw $bs $depth"
  first=''
  for way in "${!ways[@]}"; do
    iops=$(median <"$work/$way")
    rm "$work/$way"
    : "${first:=$iops}"
    awk "BEGIN {printf \"%8d %5.2f\", $iops, $iops / $first}"
  done
  echo
done
