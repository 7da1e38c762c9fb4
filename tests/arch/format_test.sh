#!/usr/bin/env bash
# The form of the code: as clang-format 14 makes it by .clang-format, at most 120 columns, and a reason for each cast that
# the type system does not check. Usage: format_test.sh <source folder>
set -u
cd "$1" || exit 2
failures=0
files=$(find include hw dm samples tests \( -name '*.h' -o -name '*.cc' -o -name '*.c' \))

wide=$(echo "$files" | xargs awk 'length($0) > 120 {print FILENAME ":" FNR ": " length($0) " columns"}')
[ -z "$wide" ] || { echo "$wide" && failures=1; }

# The reason stands at most four lines above its cast, or above the line that an earlier cast shares it with.
bare=$(find include hw dm samples \( -name '*.h' -o -name '*.cc' \) -print0 | xargs -0 awk '
  FNR == 1 {reason = -9}
  /SAFETY:/ {reason = FNR}
  /reinterpret_cast</ {
    if (FNR - reason > 4) print FILENAME ":" FNR ": a reinterpret_cast without a line // SAFETY: why it is right"
    else reason = FNR
  }')
[ -z "$bare" ] || { echo "$bare" && failures=1; }

if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
  echo "$files" | xargs clang-format --dry-run --Werror || failures=1
else
  echo 'format_test: skipped: the form of lines (clang-format 14 is not installed)'
fi
[ "$failures" = 0 ] && echo "the form is right"
exit "$failures"
