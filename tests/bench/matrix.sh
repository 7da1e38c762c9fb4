#!/usr/bin/env bash
# The device beside the file beneath it: the table of goals, row by row at depths 1, 16 and 32, each cell one `vblk bench
# --direct-baseline`. All cells once, then all again: the medians are of runs that lie apart. Writes <commit>.json, .md and
# .svg to build/bench; report.py has the form.
#   --runs N           how often (3)
#   --seconds S        for each side of a cell (1); a run takes about 4 minutes
#   --quick            one short run at depths 1 and 16: is anything far off?
#   --only REGEX       rows whose name matches
#   --depths "1 16"    other depths
#   --compare OLD      also the change against the .json of another commit
#   --image SIZE       of the image on disk, and of the one in memory (1G)
#   --folder DIR       where the image on disk is made ($TMPDIR or /var/tmp): its file system is what is measured
#   --out DIR          instead of build/bench
#   --vblk PROGRAM     instead of building one
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C
runs=3 seconds=1 only=. depths='1 16 32' compare=() image=1G folder=${TMPDIR:-/var/tmp} out=$here/../../build/bench vblk=

usage() {
  echo "matrix.sh: $1" >&2
  exit 64
}
while [ $# -gt 0 ]; do
  case $1 in
    --quick) runs=1 seconds=0.25 depths='1 16' ; shift; continue ;;
    --runs | --seconds | --only | --depths | --compare | --image | --folder | --out | --vblk)
      [ $# -gt 1 ] || usage "$1: the value is missing" ;;&
    --runs) runs=$2 ;;
    --seconds) seconds=$2 ;;
    --only) only=$2 ;;
    --depths) depths=$2 ;;
    --compare) compare=(--compare "$(readlink -f "$2")") ; [ -r "$2" ] || usage "--compare $2: cannot be read" ;;
    --image) image=$2 ;;
    --folder) folder=$2 ;;
    --out) out=$2 ;;
    --vblk) vblk=$(readlink -f "$2") ;;
    *) usage "$1: not an option; see the first lines of this file" ;;
  esac
  shift 2
done
[[ $runs =~ ^[1-9][0-9]*$ ]] || usage "--runs $runs: give a number from 1 up"
command -v python3 >/dev/null || { echo "matrix.sh: python3 is missing; apt-get install python3" >&2; exit 69; }
mkdir -p "$out"
out=$(readlink -f "$out")
cd "$here/../.."
if [ -z "$vblk" ]; then
  ./bootstrap.sh --target vblk >/dev/null
  vblk=$PWD/build/release/dm/tools/vblk
fi
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
git diff --quiet HEAD 2>/dev/null || commit+=-changed

work=$(mktemp -d "$folder/acrn-bench-XXXXXX")
memory=$(mktemp -d /dev/shm/acrn-bench-XXXXXX)
trap 'rm -rf "$work" "$memory"' EXIT
stopped=
trap 'stopped=1' INT TERM
disk=$work/disk.img shm=$memory/disk.img
fs=$(stat -f -c %T "$work")
[ "$fs" != ext2/ext3 ] || fs=ext4
head -c "$image" /dev/urandom >"$disk"
cp "$disk" "$shm"
sync "$disk"
direct=yes
dd if="$disk" of=/dev/null iflag=direct bs=1M count=1 2>/dev/null || direct=

# name | image | slot before the path | options | pattern | bytes | direct method | goals at depths 1, 16 and 32 | more
rows="\
4 KiB random read, cached, $fs|$disk||writeback|randread|4k|best|0.8 0.95 0.95|
4 KiB random read, tmpfs|$shm||writeback|randread|4k|best|0.8 0.95 0.95|
4 KiB random write, writeback, $fs|$disk||writeback|randwrite|4k|best|0.8 0.95 0.95|
4 KiB random write, writeback, tmpfs|$shm||writeback|randwrite|4k|best|0.8 0.95 0.95|
64 KiB random read, cached, $fs|$disk||writeback|randread|64k|best|0.9 0.95 0.95|
64 KiB random write, writeback, $fs|$disk||writeback|randwrite|64k|best|0.9 0.95 0.95|
1 MiB write, writeback, $fs|$disk||writeback|write|1M|best|0.95 1 1|
1 MiB random read, cached, one direct thread|$disk||writeback|randread|1M|preadv|0.95 1 1|
4 KiB random read, nocache|$disk||writeback,nocache|randread|4k|best|0.85 1 1|
4 KiB random write, nocache|$disk||writeback,nocache|randwrite|4k|best|0.85 1 1|
4 KiB read, nocache|$disk||writeback,nocache|read|4k|best|0.85 0.95 0.95|
4 KiB write, nocache|$disk||writeback,nocache|write|4k|best|0.85 0.95 0.95|
64 KiB random read, nocache|$disk||writeback,nocache|randread|64k|best|0.9 1 1|
64 KiB read, nocache|$disk||writeback,nocache|read|64k|best|0.9 1 1|
64 KiB random write, nocache|$disk||writeback,nocache|randwrite|64k|best|0.9 1 1|
64 KiB write, nocache|$disk||writeback,nocache|write|64k|best|0.9 1 1|
1 MiB random read, nocache|$disk||writeback,nocache|randread|1M|best|0.95 1 1|
1 MiB read, nocache|$disk||writeback,nocache|read|1M|best|0.95 1 1|
1 MiB random write, nocache|$disk||writeback,nocache|randwrite|1M|best|0.95 1 1|
1 MiB write, nocache|$disk||writeback,nocache|write|1M|best|0.95 1 1|
4 KiB random write, writethru|$disk||writethru|randwrite|4k|best|0.9 0.95 0.95|
4 KiB random mix, 70 % reads, cached|$disk||writeback|randrw|4k|best||--rwmixread 70
4 KiB random mix, 70 % reads, nocache|$disk||writeback,nocache|randrw|4k|best||--rwmixread 70
4 KiB random read, cached, mq=2|$disk|mq=2,|writeback|randread|4k|best||
4 KiB random read, cached, mq=4|$disk|mq=4,|writeback|randread|4k|best||
4 KiB random read, nocache, mq=2|$disk|mq=2,|writeback,nocache|randread|4k|best||
4 KiB random read, nocache, mq=4|$disk|mq=4,|writeback,nocache|randread|4k|best||
4 KiB random read, cold cache|$disk||writeback|randread|4k|best||--cold"

# The rows to run, in an array, as the loops below must not share their input with the programs.
chosen=()
while IFS= read -r row; do
  [[ ${row%%|*} =~ $only ]] || continue
  [ -n "$direct" ] || [[ $row != *nocache* ]] || { echo "skipped: ${row%%|*} ($fs has no direct I/O)" >&2; continue; }
  chosen+=("$row")
done <<<"$rows"
[ ${#chosen[@]} -gt 0 ] || usage "--only $only: no such row"

# goal <goals> <depth>: that of the depth, or null
goal() {
  local -a goals
  read -ra goals <<<"$1"
  case $2 in
    1) echo "${goals[0]:-null}" ;;
    16) echo "${goals[1]:-null}" ;;
    32) echo "${goals[2]:-null}" ;;
    *) echo null ;;
  esac
}

results=$work/results
: >"$results"
failed=0 done_cells=0
read -ra depth_list <<<"$depths"
cells=$((runs * ${#chosen[@]} * ${#depth_list[@]}))
for ((run = 1; run <= runs; run++)); do
  for row in "${chosen[@]}"; do
    IFS='|' read -r name file before options rw bytes method goals more <<<"$row"
    for depth in "${depth_list[@]}"; do
      [ -z "$stopped" ] || break 3
      done_cells=$((done_cells + 1))
      [ ! -t 2 ] || printf '\r%d/%d %s, depth %d\033[K' $done_cells "$cells" "$name" "$depth" >&2
      sync "$file" # what an earlier cell wrote is no part of this one
      if [[ $options == *nocache* ]]; then
        dd if="$file" iflag=nocache count=0 status=none # and neither are its pages, which direct writes would put out
      else
        cat "$file" >/dev/null # and neither is a page cache that was taken away
      fi
      # shellcheck disable=SC2086
      if "$vblk" bench -s "3,virtio-blk,$before$file,$options" --rw "$rw" --bs "$bytes" --qd "$depth" --seconds "$seconds" \
        --seed "$run" --direct-baseline="$method" $more --json >"$work/one" 2>"$work/error" </dev/null; then
        printf '{"name": "%s", "depth": %s, "goal": %s, "run": %s, "bench": %s}\n' "$name" "$depth" "$(goal "$goals" "$depth")" \
          $run "$(tr -d '\n' <"$work/one")" >>"$results"
      elif [ -z "$stopped" ]; then
        failed=1
        printf '%s, depth %s: %s\n' "$name" "$depth" "$(cat "$work/error")" >&2
      fi
    done
  done
done
[ ! -t 2 ] || printf '\r\033[K' >&2
if [ -n "$stopped" ]; then
  echo "matrix.sh: stopped after $done_cells of $cells measurements" >&2
  failed=1
fi
[ -s "$results" ] || exit 1
python3 "$here/report.py" "$results" "$out/$commit" --commit "$commit" --seconds "$seconds" --file-system "$fs" --image "$image" \
  "${compare[@]}"
exit $failed
