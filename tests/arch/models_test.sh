#!/usr/bin/env bash
# The models of tests/models, by spin: each holds in all of its variants, and each property fails in a broken one, so that
# it can fail. Usage: models_test.sh <folder of the models>
set -u
models=$1
for tool in spin gcc; do
  command -v "$tool" >/dev/null || { echo "models_test: skipped: the package $tool is not installed"; exit 77; }
done
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

# check <model> <what spin is to say: "holds", or the assertion that fails> [-D...]
check() {
  local model=$1 expected=$2 folder
  shift 2
  folder=$(mktemp -d -p "$work") && cd "$folder" || return 1
  # To optimise the checker would take longer than it runs.
  if ! { spin -a "$@" "$models/$model.pml" && gcc -O0 -DSAFETY -DMEMLIM=1024 -o pan pan.c; } >build.txt 2>&1; then
    echo "$model $*: it cannot be built: $(tail -3 build.txt)" && return 1
  fi
  timeout 200 ./pan -m10000 -n >result.txt 2>&1
  if [ "$expected" = holds ]; then
    grep -q 'errors: 0$' result.txt && ! grep -qE 'Search not completed|search depth too small' result.txt && return 0
  else
    grep -qF "assertion violated ($expected)" <(tr -d ' ' <result.txt | sed 's/assertionviolated/assertion violated /') && return 0
  fi
  echo "$model $*: not as expected, which is: $expected"
  head -20 result.txt
  return 1
}

# The same for the lines of the standard input, two at a time.
check_all() {
  local failures=0 model expected options pid pids=()
  while read -r model expected options; do
    # shellcheck disable=SC2086
    check "$model" "$expected" $options &
    pids+=($!)
    if [ "$(jobs -r | wc -l)" -ge 2 ]; then wait -n; fi
  done
  for pid in "${pids[@]}"; do wait "$pid" || failures=1; done
  return "$failures"
}

one_owner='owners==1'
no_lost_wake_up='!(work[0])&&!(work[1])'
no_lost_kick='avail_idx==next_avail'
no_lost_interrupt='seen==used_idx'
nothing_old='of_ring[(1-generation)]==0'

check_all <<LIST
loop holds
loop $no_lost_wake_up -DBROKEN_LOOK_FIRST
loop $no_lost_wake_up -DBROKEN_PUSH_LATE
loop $no_lost_wake_up -DBROKEN_BORROWED_IS_AWAKE
loop $no_lost_wake_up -DBROKEN_FLAG_AFTER_HANDLER
loop $no_lost_wake_up -DBROKEN_BORROWER_CALLS_ITSELF
loop $no_lost_wake_up -DBROKEN_LOOK_BEFORE_THE_CALL_IS_TAKEN
loop $one_owner -DBROKEN_WAKE_WITHOUT_WAIT
loop $one_owner -DBROKEN_BORROW_IN_TWO_STEPS
loop $no_lost_wake_up -DBROKEN_GIVE_BACK_UNSEEN
kicks holds
kicks holds -DEVENT_IDX
kicks holds -DPOLLING
kicks holds -DPOLLING -DEVENT_IDX
kicks holds -DRESET -DPOLLING
kicks holds -DRESET -DPOLLING -DEVENT_IDX
kicks $no_lost_kick -DBROKEN_NO_SECOND_LOOK
kicks $no_lost_kick -DBROKEN_LOOK_BEFORE_ENABLING_KICKS -DEVENT_IDX
kicks $no_lost_kick -DBROKEN_NO_TIMER
kicks $no_lost_kick -DBROKEN_TIMER_IS_NOT_SET_AGAIN -DEVENT_IDX
kicks $no_lost_interrupt -DBROKEN_LOOK_BEFORE_PUBLISHING
kicks $no_lost_interrupt -DBROKEN_LOOK_BEFORE_PUBLISHING -DEVENT_IDX
kicks $nothing_old -DBROKEN_RESET_DOES_NOT_WAIT -DRESET
LIST
failures=$?
[ "$failures" = 0 ] && echo "the models hold, and each property fails where it should"
exit "$failures"
