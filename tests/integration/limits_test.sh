#!/bin/bash
# Limits of eight disks in one process under load: the client, the metrics and /proc/<pid>/io count what the limits allow.
# usage: limits_test.sh <programs' directory> <source directory>
. "$(dirname "$0")/lib.sh"
have python3 || { echo 'skipped: the script (python3 is not installed)'; exit 77; }
TMPDIR=$work timeout -k 5 100 python3 "$2/tests/bench/limits.py" --programs "$1" --seconds 4 --tolerance 5 ||
  fail 'what is counted is not what the limits allow'
finish
