#!/usr/bin/env bash
# A disk on Ceph RBD beside `rbd bench` on the same image: medians of the requests a second, and of the rounds' ratios. A
# round is bench, disk, disk, bench: what comes later is slower, as the cluster still works on what came before.
#   rbd.sh [rounds]          5; a cluster of one node on this host, which goes with the script; needs build/release
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} build=build/release work=$(mktemp -d)
export ACRN_DM_MODULES=$PWD/$build/modules
coproc CLUSTER { "$build/tests/integration/vhost_user/ceph_cluster" image; }
cluster=$CLUSTER_PID
trap 'kill "$cluster" 2>/dev/null || true; rm -rf "$work"' EXIT
read -r cluster_conf <&"${CLUSTER[0]}"
# As after a guest's first flush: both sides may hold writes back from the start.
conf=$work/ceph.conf
{ cat "$cluster_conf" && echo 'rbd cache writethrough until flush = false'; } >"$conf"

median() { sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }
# direct <read|write> <depth>, ours <read|write> <depth>: requests a second, of some four seconds on both
# sides; means, which is what rbd bench tells. Longer than the cache is large: what it holds at the end has been
# acknowledged for nothing.
direct() {
  local total=200M
  if [[ "$1 $2" == 'read 1' ]]; then total=80M; elif [[ "$1 $2" == 'read 16' ]]; then total=460M; fi
  rbd -c "$conf" bench --io-type "$1" --io-pattern rand --io-size 4096 --io-threads "$2" --io-total "$total" rbd/image |
    sed -n 's|.*ops/sec: \([0-9.]*\).*|\1|p' | tail -n 1
}
ours() {
  "$build/dm/tools/vblk" bench -s "3,virtio-blk,rbd:rbd/image,conf=$conf,writeback" --rw "rand$1" --bs 4k --iodepth "$2" \
    --runtime 4 --json |
    python3 -c 'import json, statistics, sys; print(statistics.mean(json.load(sys.stdin)["device"]["round_iops"]))'
}
rbd -c "$conf" bench --io-type write --io-pattern seq --io-size 4M --io-threads 4 --io-total 64M rbd/image >/dev/null
direct write 16 >/dev/null # the first random writes to a new cluster are the fastest
printf '%-6s %5s %10s %10s %6s\n' '' depth 'rbd bench' acrn-dm ratio
for kind in read write; do
  for depth in 1 16; do
    : >"$work/direct" && : >"$work/ours" && : >"$work/ratios"
    for ((round = 0; round < rounds; round++)); do
      a=$(direct $kind $depth) && b=$(ours $kind $depth) && c=$(ours $kind $depth) && d=$(direct $kind $depth)
      printf '%s\n' "$a" "$d" >>"$work/direct" && printf '%s\n' "$b" "$c" >>"$work/ours"
      awk "BEGIN {print ($b + $c) / ($a + $d)}" >>"$work/ratios"
    done
    printf '%-6s %5d %10.0f %10.0f %6.2f\n' $kind $depth "$(median <"$work/direct")" "$(median <"$work/ours")" \
      "$(median <"$work/ratios")"
  done
done
