#!/usr/bin/env bash
# Many boots with a checker of data, over both ports and, beside them, in QEMU under the same KVM; in turns. Not a test of
# CI: ten boots of each take some ten minutes in the emulated host.
#   boots.sh [--boots <n>] [--ways "kvm driver qemu"] [--logs <folder>] <programs' folder>...
# Prints a table. A machine that QEMU's emulation has ended is started again, and its boot does not count.
set -u
here=$(cd "$(dirname "$0")" && pwd)
boots=10 ways='kvm driver qemu' logs=build/boots
while [ $# -gt 0 ]; do
  case $1 in
    --boots) boots=$2 ;;
    --ways) ways=$2 ;;
    --logs) logs=$2 ;;
    --*) echo "boots.sh: $1: not an option; see the first lines of this file" >&2 && exit 64 ;;
    *) break ;;
  esac
  shift 2
done
mkdir -p "$logs"
logs=$(cd "$logs" && pwd)
folder=$(mktemp -d)
export ACRN_GUEST_QEMU=1
start() { "$here/host.sh" start "$folder" "$@" >"$logs/host.log" 2>&1 || { tail -n 3 "$logs/host.log" && exit 77; }; }
trap '"$here/host.sh" stop "$folder" >/dev/null 2>&1; rm -rf "$folder"' EXIT
start "$@"
declare -A good=() bad=() lost=() times=()
for ((n = 1; n <= boots; n++)); do
  for way in $ways; do
    log=$logs/$way.$n begin=$(date +%s%N)
    "$here/host.sh" run "$folder" soak_boot.sh "$way" >"$log" 2>&1
    status=$?
    if grep -q 'the machine gave no answer\|the machine is not' "$log"; then
      lost[$way]=$((${lost[$way]:-0} + 1))
      "$here/host.sh" stop "$folder" >/dev/null 2>&1
      start "$@"
    elif [ $status = 0 ]; then
      good[$way]=$((${good[$way]:-0} + 1))
      times[$way]+="$((($(date +%s%N) - begin) / 1000000)) "
      rm "$log"
    else
      bad[$way]=$((${bad[$way]:-0} + 1))
    fi
  done
  [ ! -t 2 ] || printf '\r%d of %d' "$n" "$boots" >&2
done
printf '%-8s%8s%8s%8s%12s\n' way good failed lost 'median ms'
for way in $ways; do
  median=$(tr ' ' '\n' <<<"${times[$way]:-}" | grep . | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')
  printf '%-8s%8d%8d%8d%12s\n' "$way" "${good[$way]:-0}" "${bad[$way]:-0}" "${lost[$way]:-0}" "$median"
done
for way in $ways; do [ "${bad[$way]:-0}" = 0 ] || { echo "logs of what failed: $logs" && exit 1; }; done
