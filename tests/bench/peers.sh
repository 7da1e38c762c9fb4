#!/usr/bin/env bash
# acrn-dm and qemu-storage-daemon serve the same file over vhost-user, and one driver (vblk bench) uses them in turns: requests
# a second, and CPU time of the server for each request, as ratios to the best of the peer's ways. Writes peers.json, .md and
# .svg to build/bench.
#   --rounds N      how often (3); the figures are medians
#   --seconds S     for each of the five parts of a run (0.2)
#   --only REGEX    cells whose name matches, like '4k.*depth 1$'
#   --size BYTES    of the image (256M)
set -euo pipefail
cd "$(dirname "$0")/../.."
source samples/guest/lib.sh
./bootstrap.sh --target acrn-dm --target vblk
need qemu-system-common python3
exec python3 tests/bench/peers.py --programs build/release/dm --out build/bench "$@"
