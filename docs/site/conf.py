"""The documentation as a site. Sphinx reads the pages where they are, so the same links work in the repository and here.

A README.md in docs/ or below is an index: its links are its chapters, in their order; each `##` is a part of the menu.
"""

import pathlib
import re

import furo

ROOT = pathlib.Path(__file__).resolve().parents[2]

project = "acrn-dm"
copyright = "the acrn-dm authors"
release = re.search(r"project\(acrn-dm VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]

extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = ["README.md", "SECURITY.md", "CHANGELOG.md", "docs/**.md", "samples/**.md"]
myst_heading_anchors = 6
highlight_language = "none"
pygments_style, pygments_dark_style = "friendly", "monokai"

html_theme = "furo"
html_title = f"acrn-dm {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
# Debian 12's Furo is not bundled: its script imports this one. See link_scripts().
IMPORTED = "scripts/gumshoe-patched.js"
html_js_files = [IMPORTED] if (pathlib.Path(furo.__file__).parent / "theme/furo/static" / IMPORTED).exists() else []
html_additional_pages = {"index": "index.html"}
templates_path = ["."]
html_use_index = False
html_copy_source = False


def chapters(text):
    """The menu of an index page, as a hidden table of contents for each of its parts."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[0 if "\n## " not in text else 1 :]:
        pages = re.findall(r"^\* \[([^\]]+)\]\(([^)]+)\.md\)(?::? *(.*))?$", part, flags=re.MULTILINE)
        if pages:
            yield "\n```{toctree}\n:hidden:\n:caption: " + part.partition("\n")[0].lstrip("# ") + "\n\n"
            for title, page, more in pages:
                yield f"{title}: {more} <{page}>\n" if title.isdigit() else f"{title} <{page}>\n"
            yield "```\n"


def add_chapters(_app, name, source):
    if name.startswith("docs/") and name.endswith("README"):
        source[0] += "".join(chapters(source[0]))


def link_scripts(app, error):
    """A page on a disk cannot import; what Furo's script would import has been loaded before it."""
    if error or not html_js_files:
        return
    script = pathlib.Path(app.outdir) / "_static/scripts/furo.js"
    script.write_text(re.sub(r"^import Gumshoe .*\n", "", script.read_text(), flags=re.MULTILINE))


def setup(app):
    app.connect("source-read", add_chapters)
    app.connect("build-finished", link_scripts)
