# Shared by the integration scripts: a directory of their own, and checks that say what failed and go on.
set -u
export LC_ALL=C.UTF-8

failures=0
work=$(mktemp -d "${TMPDIR:-/tmp}/acrn-test-XXXXXX") || exit 1
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT

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

finish() {
  if [ "$failures" -ne 0 ]; then
    echo "$failures check(s) failed"
    exit 1
  fi
  echo "all checks passed"
  exit 0
}
