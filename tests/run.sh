#!/usr/bin/env bash
# All tests, from a fresh clone: installs what is missing, builds, runs. Under 10 minutes on two cores.
#   tests/run.sh          release; ASan + UBSan with coverage; TSan
#   tests/run.sh --full   also clang with clang-tidy, libFuzzer, and a longer soak
#   tests/run.sh PRESET   one preset only
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

failed=0 passed_total=0 failed_total=0 skipped_total=0

# Counts single tests: cmocka's, and CTest's own for scripts and corpus replays.
count() {
  local log=build/$1/Testing/Temporary/LastTest.log
  local passed skipped broken scripts
  passed=$(grep -c '^\[       OK \]' "$log")
  skipped=$(grep -c '^\[  SKIPPED \] [^0-9]' "$log")
  broken=$(grep -c '^\[  FAILED  \] [^0-9]' "$log")
  scripts=$(ctest --preset "$1" -N 2>/dev/null | grep -cE 'Test +#[0-9]+: .*_(script|rules)_test|: fuzz_')
  passed_total=$((passed_total + passed + scripts))
  skipped_total=$((skipped_total + skipped / 2))
  failed_total=$((failed_total + (broken + 1) / 2))
  grep -h 'skipped: ' "$log" | sed 's/^ */  /' | sort -u
}

# run <preset> [ctest arguments]
run() {
  local preset=$1
  shift
  echo "== $preset"
  if ! ./bootstrap.sh "$preset"; then
    failed=1
    return
  fi
  ctest --preset "$preset" --progress "$@" || failed=1
  count "$preset"
}

coverage() {
  run coverage
  gcovr --root . --filter 'hw/' --filter 'dm/' --filter 'include/' build/coverage --print-summary -o build/coverage/report.txt \
    --html-details build/coverage/report.html --exclude-throw-branches --gcov-ignore-parse-errors 2>/dev/null | tail -3
  echo "coverage by file: build/coverage/report.txt, with lines: build/coverage/report.html"
}

case ${1:-} in
  "" | --full)
    run release
    coverage
    run tsan -L 'unit|contract|conformance|stress'
    if [ "${1:-}" = --full ]; then
      run clang -L 'unit|arch'
      run fuzz -L fuzz
      ACRN_SOAK=20 run release -L stress
    fi
    ;;
  coverage) coverage ;;
  *) run "$1" ;;
esac

[ "$failed" = 0 ] || [ "$failed_total" != 0 ] || failed_total=1
echo "total: $passed_total passed, $failed_total failed, $skipped_total skipped"
exit "$failed"
