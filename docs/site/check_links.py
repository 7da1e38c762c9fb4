"""check_links.py <site>: every link, anchor and picture of a built site is there. Prints those that are not; status 1 if any."""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def main():
    site = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in site.rglob("*.html")}
    links = broken = 0
    for path, page in pages.items():
        for link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                continue
            links += 1
            target = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            anchor = urllib.parse.unquote(url.fragment)
            is_there = target.is_file() and target.is_relative_to(site)
            has_anchor = not anchor or target not in pages or anchor in pages[target].anchors
            if not is_there or not has_anchor:
                broken += 1
                print(f"{path.relative_to(site)}: {link}: there is no such {'anchor' if is_there else 'file'}")
    print(f"{len(pages)} pages, {links} links, {broken} broken")
    sys.exit(broken != 0 or links == 0)


main()
