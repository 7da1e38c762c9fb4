#!/usr/bin/env bash
# Tests from a fresh clone: installs what is missing, builds, runs.
#   tests/run.sh                the release build, with a real guest behind each way in; 10 minutes on two cores
#   tests/run.sh --long         the same, with every guest that CI runs, and the code of the how-tos
#   tests/run.sh --sanitizers   ASan + UBSan with coverage; TSan
#   tests/run.sh --full         all of it, clang with clang-tidy, libFuzzer, a longer soak, one more guest kernel, and
#                               more guests over the ACRN port
#   tests/run.sh PRESET...      these presets only
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

failed=0 passed_total=0 failed_total=0 skipped_total=0

# Counts single tests: cmocka's, and the programs that are one test each or have ended early, by CTest's word.
count() {
  local log=build/$1/Testing/Temporary/LastTest.log passed failed skipped
  read -r passed failed skipped < <(awk '
    FNR == NR {if (match($0, /Test +#[0-9]+: [^ ]+/)) {name = $0; sub(/.*Test +#[0-9]+: /, "", name); sub(/ .*/, "", name); result[name] = $0}; next}
    / Testing: / {name = $3}
    /^\[ RUN / {cases[name] = 1}
    /^\[       OK \]/ {passed++}
    /^\[  ERROR   \]/ {errors[name]++}
    /^ *[a-z0-9_]*: skipped: / {reasons[name]++}
    END {
      for (name in result) {
        if (result[name] ~ /\*Skipped/) {skipped++; continue}
        skipped += reasons[name]
        failed += errors[name]
        if (result[name] ~ / Passed /) passed += !(name in cases)
        else failed += !(name in errors)
      }
      print passed + 0, failed + 0, skipped + 0
    }' "build/$1/ctest.log" "$log")
  passed_total=$((passed_total + passed)) failed_total=$((failed_total + failed)) skipped_total=$((skipped_total + skipped))
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

sanitizers() {
  coverage
  targets=(--target tests_contract --target tests_conformance --target tests_stress)
  run tsan -L 'contract|conformance|stress'
  targets=()
}

[ $# -gt 0 ] || set -- release
for what in "$@"; do
  case $what in
    --long) run release -C long ;;
    --sanitizers) sanitizers ;;
    --full)
      export ACRN_GUEST_FULL=1
      run release -C full
      sanitizers
      run clang -L 'unit|arch'
      run fuzz -L fuzz
      ACRN_SOAK=20 run release -L stress
      ;;
    coverage) coverage ;;
    *) run "$what" ;;
  esac
done

[ "$failed" = 0 ] || [ "$failed_total" != 0 ] || failed_total=1
echo "total: $passed_total passed, $failed_total failed, $skipped_total skipped"
exit "$failed"
