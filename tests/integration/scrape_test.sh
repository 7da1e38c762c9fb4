#!/bin/bash
# A confined server that is scraped while clients come and go: each scrape is answered and no counter goes back.
# usage: scrape_test.sh <programs' directory> <source directory>
. "$(dirname "$0")/lib.sh"
have python3 || { echo 'skipped: the script (python3 is not installed)'; exit 77; }
run "$1/acrn-dm" --dry_run --sandbox on --serve nbd=. -s 9,virtio-blk,ram:1M vm1
case $err in *'built with a sanitizer'*) echo 'skipped: a build with a sanitizer is not confined'; exit 77 ;; esac
TMPDIR=$work timeout -k 5 100 python3 "$2/tests/bench/scrape.py" --programs "$1" --seconds 6 --interval 0.1 --client 1 ||
  fail 'it does not hold out'
finish
