# Shared by the integration scripts: a directory of their own, and checks that say what failed and go on.
set -u
export LC_ALL=C.UTF-8

failures=0
work=$(mktemp -d "${TMPDIR:-/tmp}/acrn-test-XXXXXX") || exit 1
# What runs in the background, by its process, and ends with the script.
pids=()
leave() {
  local pid
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; done
  chmod -R u+rwx "$work"
  rm -rf "$work"
}
trap leave EXIT

fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$*"
}

# run <command...>: leaves $status, $out and $err. A command that hangs has status 124.
run() {
  timeout -k 5 10 "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
  status=$?
  out=$(cat "$work/stdout")
  err=$(cat "$work/stderr")
}

# await_socket <path> <pid>: until it is there, or its process is not
await_socket() {
  local tries
  for ((tries = 0; tries < 400; tries++)); do
    if [ -S "$1" ] || ! kill -0 "$2" 2>/dev/null; then return; fi
    sleep 0.05
  done
}

# await <command...>: until it succeeds, 20 s at most
await() {
  local tries
  for ((tries = 0; tries < 400; tries++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "it did not come to: $*"
}

# have <program>...: all of them are installed
have() {
  local program
  for program; do command -v "$program" >/dev/null || return 1; done
}

# expect_contains <what> <text> <part>
expect_contains() {
  case $2 in
    *"$3"*) ;;
    *) fail "$1: no '$3' in: $2" ;;
  esac
}

expect_equal() {
  [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}

# refused <exit code> <part of the message> <command...>: it says why in one line.
refused() {
  local code=$1 part=$2
  shift 2
  run "$@"
  expect_equal "$*: exit code" "$status" "$code"
  expect_contains "$*" "$err" "$part"
  expect_equal "$*: lines" "$(printf '%s\n' "$err" | wc -l)" 1
}

# bzimage <path>: as little as is a kernel; it wants 32 MiB of RAM and takes a command line of 100 bytes.
bzimage() {
  local field
  truncate -s 2048 "$1"
  # setup_sects, syssize, boot_flag, jump, header, version, loadflags, initrd_addr_max, cmdline_size, pref_address, init_size
  for field in '1f1 \x01' '1f4 \x40' '1fe \x55\xaa' '200 \xeb\x66HdrS\x0f\x02' '211 \x01' '22c \xff\xff\xff\x7f' '238 \x64' \
    '25b \x01' '263 \x01'; do
    printf '%b' "${field#* }" | dd of="$1" bs=1 seek="$((0x${field%% *}))" conv=notrunc status=none
  done
}

finish() {
  if [ "$failures" -ne 0 ]; then
    echo "$failures check(s) failed"
    exit 1
  fi
  echo "all checks passed"
  exit 0
}
