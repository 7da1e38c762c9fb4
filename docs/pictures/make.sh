#!/usr/bin/env bash
# Makes each picture (.svg) from its text (.dot: graphviz; .msc: mscgen). A comment in the picture names the checksum of the
# text and of this script, so that --check finds a picture that is older than its text, without either tool.
# Usage: docs/pictures/make.sh [--check]
set -u
cd "$(dirname "$0")" || exit 2
failures=0

checksum() { cat "$1" make.sh | sha256sum | cut -c1-16; }

make() {
  local source=$1 picture=$2
  case $source in
    *.dot) dot -Tsvg -Gbgcolor=white -Gfontname=Helvetica -Nfontname=Helvetica -Efontname=Helvetica -Gfontsize=13 \
      -Nfontsize=13 -Efontsize=12 -Gpad=0.2 -Nshape=box -Nstyle='rounded,filled' -Nfillcolor='#eef3f8' \
      -Ncolor='#4a6a8a' -Ecolor='#444444' "$source" ;;
    *.msc)
      # On a white ground, and with its words clear of the lines below them.
      mscgen -T svg -i "$source" -o - | awk '
        {while (match($0, /<text x="[0-9]+" y="[0-9]+"/)) {
          split(substr($0, RSTART, RLENGTH), part, "\"")
          printf "%s<text x=%c%s%c y=%c%d%c", substr($0, 1, RSTART - 1), 34, part[2], 34, 34, part[4] - 3, 34
          $0 = substr($0, RSTART + RLENGTH)
        }}
        /<svg/ {in_tag = 1}
        {print}
        in_tag && />/ {print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"; in_tag = 0}'
      ;;
  esac | sed "s|</svg>|<!-- source: $source $(checksum "$source") -->\n</svg>|" >"$picture"
}

for source in *.dot *.msc; do
  picture=${source%.*}.svg
  [ "${1-}" = --check ] || make "$source" "$picture"
  if ! grep -q "<!-- source: $source $(checksum "$source") -->" "$picture" 2>/dev/null; then
    echo "FAILED: $picture is not made from $source as it is; run docs/pictures/make.sh"
    failures=$((failures + 1))
  fi
done
for picture in *.svg; do
  [ -e "${picture%.svg}.dot" ] || [ -e "${picture%.svg}.msc" ] && continue
  echo "FAILED: $picture has no source"
  failures=$((failures + 1))
done
for picture in *.svg; do
  grep -q "pictures/$picture" ../*.md && continue
  echo "FAILED: no page shows $picture"
  failures=$((failures + 1))
done
[ "$failures" = 0 ] && echo "$(ls ./*.svg | wc -l) pictures are those of their texts"
exit "$failures"
