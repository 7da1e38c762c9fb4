#!/usr/bin/env bash
# All tests, from a fresh clone: installs what is missing, builds, runs. Under 15 minutes on two cores.
#   tests/run.sh          release, with real guests; ASan + UBSan with coverage; TSan
#   tests/run.sh --full   also clang with clang-tidy, libFuzzer, a longer soak, one more guest kernel, and more guests over
#                         the ACRN port
#   tests/run.sh PRESET   one preset only
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

failed=0 passed_total=0 failed_total=0 skipped_total=0

# Counts single tests: cmocka's, and the programs that are one test each, by CTest's word.
count() {
  local log=build/$1/Testing/Temporary/LastTest.log output=build/$1/ctest.log
  local single='(fuzz_[a-z_]+|command_line_test|launch_script_test|bench_command_test|bench_matrix_test|serve_test|vblk_test|manual_test|conformance_page_test|format_test|include_rules_test|models_test|howto_test|pictures_test|concurrency_test|guest_[a-z_]+_test|vfio_user_(boot|control|firmware|hotplug|kill|load|memory|qos|reboot)_test|sample_[a-z_]+) \.+'
  passed_total=$((passed_total + $(grep -c '^\[       OK \]' "$log") + $(grep -cE "$single +Passed" "$output")))
  skipped_total=$((skipped_total + $(grep -c '^ *[a-z0-9_]*: skipped: ' "$log") + $(grep -cE "$single\*+Skipped" "$output")))
  failed_total=$((failed_total + $(grep -c '^\[  ERROR   \]' "$log") + $(grep -cE "$single\*+(Failed|Timeout|Exception)" "$output")))
  grep -h 'skipped: ' "$log" | sed 's/^ */  /' | sort -u
}

# run <preset> [ctest arguments]; builds $targets, or all
targets=()
run() {
  local preset=$1
  shift
  echo "== $preset"
  if ! ./bootstrap.sh "${targets[@]}" "$preset"; then
    failed=1
    return
  fi
  ctest --preset "$preset" --parallel 2 "$@" 2>&1 | tee "build/$preset/ctest.log"
  [ "${PIPESTATUS[0]}" = 0 ] || failed=1
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
    guests=()
    if [ "${1:-}" = --full ]; then
      export ACRN_GUEST_FULL=1
      guests=(-C full)
    fi
    tsan_targets=(--target tests_contract --target tests_conformance --target tests_stress)
    ./bootstrap.sh --install release coverage tsan
    ./bootstrap.sh release
    # The guests of the first run leave a core idle.
    { nice -n 19 ./bootstrap.sh coverage && nice -n 19 ./bootstrap.sh "${tsan_targets[@]}" tsan; } >build/ahead.log 2>&1 &
    run release "${guests[@]}"
    wait
    coverage
    targets=("${tsan_targets[@]}")
    run tsan -L 'contract|conformance|stress'
    targets=()
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
