#!/bin/bash
# The script of the table of goals: a short run writes its report, a second one compares with it. No figure is judged.
# usage: bench_matrix_test.sh <vblk> <source directory>
. "$(dirname "$0")/lib.sh"
vblk=$1 source=$2
command -v python3 >/dev/null || { echo 'skipped: the report (python3 is not installed)'; exit 77; }
[ -w /dev/shm ] || { echo 'skipped: the report (/dev/shm cannot be written)'; exit 77; }
# matrix <argument...>
matrix() {
  timeout -k 5 60 "$source/tests/bench/matrix.sh" --vblk "$vblk" --quick --seconds 0.02 --image 4M --folder "$work" "$@" \
    >"$work/stdout" 2>"$work/stderr" </dev/null
  status=$?
  out=$(cat "$work/stdout") err=$(cat "$work/stderr")
}

matrix --only 'tmpfs|mix|mq=2' --runs 2 --out "$work/first"
expect_equal 'a first run: exit code' "$status" 0
expect_equal 'a first run: stderr' "$(printf '%s\n' "$err" | grep -v '^skipped: ')" ""
expect_contains 'a first run' "$out" '4 KiB random read, tmpfs | '
report=$(echo "$work"/first/*.json)
for suffix in json md svg; do [ -s "${report%.json}.$suffix" ] || fail "no report .$suffix"; done
python3 - "$report" "${report%.json}.svg" <<'END' || fail 'the report cannot be read'
import json, sys, xml.dom.minidom
report = json.load(open(sys.argv[1]))
cells = {(cell["name"], cell["depth"]): cell for cell in report["cells"]}
cell = cells["4 KiB random read, tmpfs", 16]
assert cell["goal"] == 0.95 and len(cell["runs"]) == 2 and cell["ratio"] > 0, cell
xml.dom.minidom.parse(sys.argv[2])
END
expect_contains 'the plot' "$(cat "${report%.json}.md")" '.svg)'
expect_contains 'the goals' "$(cat "${report%.json}.md")" ' goals met'

matrix --only 'random read, tmpfs' --compare "$report" --out "$work/second"
expect_equal 'a second run: exit code' "$status" 0
expect_contains 'a second run' "$out" 'against '
expect_contains 'a second run' "$(cat "$work"/second/*.md)" '| ratio before | change |'

matrix --only nothing --out "$work/third"
expect_equal 'no such row: exit code' "$status" 64
expect_contains 'no such row' "$err" 'matrix.sh: --only nothing: no such row'
matrix --fast
expect_equal 'no such option: exit code' "$status" 64
matrix --compare "$work/none.json"
expect_contains 'nothing to compare with' "$err" 'cannot be read'
expect_equal 'what is left of the images' "$(ls -d "$work"/acrn-bench-* 2>/dev/null)" ""
finish
