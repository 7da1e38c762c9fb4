#!/bin/bash
# A hundred disks of four queues in one process, for a shell that allows few descriptors. No figure is judged.
# usage: many_disks_test.sh <programs' directory> <source directory>
. "$(dirname "$0")/lib.sh"
programs=$1 source=$2
command -v python3 >/dev/null || { echo 'skipped: the script (python3 is not installed)'; exit 77; }
[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 4096 ] || { echo "skipped: 100 disks (the host allows $(ulimit -Hn) descriptors)"; exit 77; }
ulimit -Sn 256
out=$(timeout -k 5 100 python3 "$source/tests/bench/many_disks.py" --programs "$programs" --disks 1,100 --seconds 0.2 --json 2>&1) ||
  fail "it does not serve: $out"
python3 - "$out" <<'END' || fail "the report cannot be read: $out"
import json, sys
one, many = json.loads(sys.argv[1])
assert many["disks"] == 100 and many["iops"] > 0 and many["descriptors"] > 256, many
# A queue that has not started has no thread, and each disk has one for its socket.
assert many["threads"] < 110, many
# What nobody uses wakes nobody: a tenth of a wake-up for each disk and second leaves room for the host's own.
assert many["idle_switches_per_second"] < 10, many
END
finish
