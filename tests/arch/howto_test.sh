#!/usr/bin/env bash
# The code in docs/howto is what it says it is. A ```cpp block begins with the path of the new file that it is, or goes
# on with (// dm/block/zero.h); a ```diff block begins with the path of the file that it changes (--- dm/block/open.cc).
# Each page is carried out on a copy of the sources, and what it adds or changes is compiled.
# Usage: howto_test.sh <source folder> <C++ compiler> [<page>...]
set -u
cd "$1" || exit 2
compiler=$2
shift 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failures=0

# carry_out <page> <copy of the sources>: prints the files that it adds or changes. A hunk of a diff has no line numbers:
# what it takes away, with the lines around, occurs once in the file.
carry_out() {
  awk -v page="$1" -v root="$2/" '
    function fail(what) {print page ":" FNR ": " what >"/dev/stderr"; failed = 1; exit 1}
    function content(file,   line, all) {
      while ((getline line <(root file)) > 0) all = all line "\n"
      close(root file)
      return all
    }
    function hunk(   at, rest) {
      if (before == "") {before = after = ""; return}
      at = index(text, before)
      if (at == 0) fail(file " has no such lines:\n" before)
      rest = substr(text, at + length(before))
      if (index(rest, before) != 0) fail(file " has these lines more than once:\n" before)
      text = substr(text, 1, at - 1) after rest
      before = after = ""
    }
    function name_file(prefix,   name) {
      if (index($0, prefix) != 1) fail("a block of code begins with a path: " prefix "<path>")
      name = substr($0, length(prefix) + 1)
      if (name !~ /^[a-z0-9_\/]+\.(h|cc)$/ && name !~ /CMakeLists.txt$/) fail("no path of a source file: " name)
      return name
    }
    {sub("^" indent, "")}
    /^ *```(cpp|diff)$/ {indent = $0; sub(/`.*/, "", indent); sub(/^ */, ""); kind = substr($0, 4); begins = 1; next}
    kind == "" {next}
    /^```$/ {
      if (kind == "diff") hunk()
      system("mkdir -p $(dirname " root file ")")
      printf "%s", text >(root file)
      close(root file)
      print file
      kind = indent = ""
      next
    }
    begins && kind == "cpp" {
      file = name_file("// ")
      text = content(file)
      if (text != "" && !(file in made)) fail(file " is there already; a change of it is a diff block")
      if (!(file in made)) text = $0 "\n"
      made[file] = 1
    }
    begins && kind == "diff" {file = name_file("--- "); text = content(file)}
    begins {begins = 0; next}
    kind == "cpp" {text = text $0 "\n"; next}
    /^@@$/ {hunk(); next}
    /^( |$)/ {before = before substr($0, 2) "\n"; after = after substr($0, 2) "\n"; next}
    /^-/ {before = before substr($0, 2) "\n"; next}
    /^\+/ {after = after substr($0, 2) "\n"; next}
    {fail("a line of a diff begins with a blank, + or -")}
    END {exit failed}' "$1"
}

flags='-std=c++20 -Wall -Wextra -Werror -Wno-missing-field-initializers -DACRN_DM_VERSION="\"\"" -Iinclude -I.'
# What most files include, compiled once.
echo '#include "acrn/precompiled.h"' >"$work/common.h"
eval "$compiler $flags" -x c++-header "$work/common.h" -o "$work/common.h.gch" || exit 2
# compiles <copy of the sources> <file.cc>: the headers are compiled with the files that include them.
compiles() {
  cd "$1" && eval "$compiler $flags" -include "$work/common.h" -fsyntax-only "$2"
}
export -f compiles
export compiler flags work

checks_form=no
clang-format --version 2>/dev/null | grep -q 'version 14\.' && checks_form=yes

[ $# -gt 0 ] || set -- docs/howto/*.md
for page; do
  grep -qE '^ *```(cpp|diff)$' "$page" || continue
  copy=$work/$(basename "$page" .md)
  mkdir "$copy" && cp -r include hw dm .clang-format "$copy"
  if ! files=$(carry_out "$page" "$copy"); then
    failures=$((failures + 1))
    continue
  fi
  files=$(sort -u <<<"$files")
  if ! grep '\.cc$' <<<"$files" | xargs -P "$(nproc)" -I{} bash -c "compiles '$copy' {}"; then
    echo "FAILED: $page: its code does not compile"
    failures=$((failures + 1))
  fi
  if [ $checks_form = yes ] &&
    ! (cd "$copy" && grep -E '\.(h|cc)$' <<<"$files" | xargs clang-format --dry-run --Werror); then
    echo "FAILED: $page: clang-format would format its code differently"
    failures=$((failures + 1))
  fi
  echo "$page: $(wc -w <<<"$files") files"
done
[ $checks_form = yes ] || echo 'howto_test: skipped: the form of the code (clang-format 14 is not installed)'
[ "$failures" = 0 ]
