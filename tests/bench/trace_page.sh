#!/usr/bin/env bash
# How long a browser takes to draw the page of a real trace, and how large both are: of reads at depth 16 from a RAM disk.
#   trace_page.sh <vblk> [seconds of load, 1 by default]
set -eu
vblk=$(realpath "${1:?give the program vblk}")
seconds=${2:-1}
browser=$(command -v chromium || command -v google-chrome) || { echo 'trace_page.sh: there is no chromium' >&2 && exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$vblk" bench -s 3,virtio-blk,ram:64M,trace=t --seconds "$seconds" >/dev/null
"$vblk" trace html t >page.html
printf '%s requests, trace of %s MB, page of %s MB\n' \
  "$("$vblk" trace stats t --json | grep -o '"requests":[0-9]*' | head -n 1 | cut -d : -f 2)" \
  "$(($(stat -c %s t) / 1000000))" "$(($(stat -c %s page.html) / 1000000))"
for run in 1 2 3; do
  timeout -k 5 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/browser" \
    --virtual-time-budget=60000 --dump-dom "file://$folder/page.html" 2>/dev/null </dev/null |
    sed -n "s/.*<body data-drawn=\"\([0-9]*\)\">.*/run $run: drawn after \1 ms/p"
done
