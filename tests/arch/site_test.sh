#!/usr/bin/env bash
# Every link, anchor and picture of the documentation's site is there, each page can be found by its words, and a page that breaks
# that is told of.  usage: site_test.sh <site> <source folder>
set -u
site=$1 source=$2
check=$source/docs/site/check_links.py
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}

python3 "$check" "$site" || fail "the site has broken links"
for page in "$source"/docs/*.md "$source"/docs/howto/*.md "$source"/docs/adr/*.md; do
  page=${page#"$source"/}
  [ -s "$site/${page%.md}.html" ] || fail "there is no page of $page"
  grep -q "\"${page%.md}\"" "$site/searchindex.js" || fail "search does not know $page"
done

mkdir "$work/site"
echo '<h1 id="there">' >"$work/site/other.html"
echo '<a href="other.html#there">' >"$work/site/page.html"
python3 "$check" "$work/site" >"$work/said" || fail "a right link: $(cat "$work/said")"
for link in 'other.html#nowhere' '#nowhere' 'no.html' '../other.html' 'no.svg'; do
  echo "<a href=\"$link\">" >"$work/site/page.html"
  python3 "$check" "$work/site" >"$work/said" && fail "a wrong link, $link, passes"
  grep -qF "page.html: $link: there is no such" "$work/said" || fail "of $link it says: $(cat "$work/said")"
done
[ "$failures" = 0 ] && echo 'the site is whole'
exit "$failures"
