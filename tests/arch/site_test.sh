#!/usr/bin/env bash
# Every link, anchor and picture of the documentation's site is there, each page can be found by its words, and a page that breaks
# that is told of.  usage: site_test.sh <site> <source folder>
. "$(dirname "$0")/../integration/lib.sh"
site=$1 source=$2
check=$source/docs/site/check_links.py

run python3 "$check" "$site"
expect_equal "the site: $out" "$status$err" 0
for page in "$source"/docs/*.md "$source"/docs/howto/*.md "$source"/docs/adr/*.md; do
  page=${page#"$source"/}
  [ -s "$site/${page%.md}.html" ] || fail "there is no page of $page"
  grep -q "\"${page%.md}\"" "$site/searchindex.js" || fail "search does not know $page"
done

mkdir "$work/site"
echo '<h1 id="there">' >"$work/site/other.html"
# said_of <link>: what is said of a page with that link
said_of() {
  echo "<a href=\"$1\">" >"$work/site/page.html"
  run python3 "$check" "$work/site"
}
echo '<h1>' >"$work/outside.html"
said_of 'other.html#there'
expect_equal "a right link: $out" "$status" 0
for link in 'other.html#nowhere' '#nowhere' 'no.html' '../outside.html' 'no.svg'; do
  said_of "$link"
  expect_equal "the wrong link $link" "$status" 1
  expect_contains "the wrong link $link" "$out" "page.html: $link: there is no such"
done
finish
