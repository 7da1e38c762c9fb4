#!/usr/bin/env bash
# The tables of docs/concurrency.md have each mutex of the product, with the rank that a comment beside it says, and each
# name that is given to a thread; and nothing else. Usage: concurrency_test.sh <source folder>
set -u
cd "$1" || exit 2
page=docs/concurrency.md
failures=0

# same <what> <of the code> <of the page>: lists, one a line.
same() {
  local missing surplus
  missing=$(comm -23 <(sort -u <<<"$2") <(sort -u <<<"$3"))
  surplus=$(comm -13 <(sort -u <<<"$2") <(sort -u <<<"$3"))
  [ -n "$missing" ] && echo "FAILED: $1 of the code that $page does not have:" && echo "$missing"
  [ -n "$surplus" ] && echo "FAILED: $1 of $page that the code does not have:" && echo "$surplus"
  [ -z "$missing$surplus" ] || failures=$((failures + 1))
}

# rows <section> <n>: the n-th cell of each row of that section's first table.
rows() {
  awk -F' *[|] *' -v section="## $1" -v n=$(($2 + 1)) '
    /^## / {inside = ($0 == section)}
    row > 0 && !/^\|/ {exit}
    inside && /^\|/ && ++row > 2 {print $n}' "$page"
}

# "Class::member rank", from the classes above a declaration that are less indented, and the comment behind it.
mutexes=$(find include hw dm -name '*.h' -o -name '*.cc' | sort | while read -r file; do
  awk '
    {match($0, /^ */); indent = RLENGTH}
    /^ *(class|struct) [A-Za-z0-9]+.*[{]$/ {class[indent] = $2; next}
    /^ *(mutable )?Mutex [a-z_, ]+;/ {
      scope = ""
      for (i = 0; i < indent; i += 2) if (i in class) scope = scope class[i] "::"
      rank = $0
      if (!sub(/.*\/\/ /, "", rank)) rank = "(none)"
      sub(/[:;,].*/, "", rank)
      names = $0
      sub(/^ *(mutable )?Mutex /, "", names)
      sub(/;.*/, "", names)
      count = split(names, name, /, */)
      for (i = 1; i <= count; i++) print scope name[i] " " rank
    }' "$file"
done)
listed=$(paste -d'|' <(rows Mutexes 1) <(rows Mutexes 2) | awk -F'|' '{
  count = split($1, part, "`")
  for (i = 2; i <= count; i += 2) print part[i] " " $2
}')
same 'mutexes' "$mutexes" "$listed"

# The first literal of what a loop or a thread is named by is a part of a name in the table.
literals=$(grep -rh -B1 -A1 -E '(EpollLoop::create|[tT]hread_?(s\[[a-z]\])?\.start)\(' --include='*.cc' dm |
  grep -oE '(EpollLoop::create|\.start)\((concat\()?[^"]*"[^"]+"|name = concat\([^"]*"[^"]+"' |
  sed -E 's/.*"([^"]+)"$/\1/')
names=$(rows Threads 2 | grep -o '`[^`]*`' | tr -d '`')
[ "$(wc -l <<<"$literals")" -ge 8 ] || { echo "FAILED: the names of threads were not found in the code" && exit 1; }
while read -r literal; do
  grep -qF -- "$literal" <<<"$names" && continue
  echo "FAILED: a thread's name that $page does not have: \"$literal\""
  failures=$((failures + 1))
done <<<"$literals"
while read -r name; do
  found=no
  while read -r literal; do [[ $name == *"$literal"* ]] && found=yes; done <<<"$literals"
  [ "$found" = yes ] && continue
  echo "FAILED: a thread's name of $page that the code gives to none: $name"
  failures=$((failures + 1))
done <<<"$names"

[ "$failures" = 0 ] && echo "$(wc -l <<<"$mutexes") mutexes and $(wc -l <<<"$names") names of threads are as the page says"
exit "$failures"
