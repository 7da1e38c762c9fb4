#!/usr/bin/env python3
"""The tables of docs/conformance.md, from the tests and from vblk's check.

    docs/conformance.py            makes the tables again
    docs/conformance.py --check    says what is wrong and ends with 1 if the page is not what this makes

A test says in a comment what it covers, directly above itself; a whole file does in the comment at its beginning:

    // COVERS(virtio 0.9.5 2.4.1): used length is what was written to the guest
    // COVERS(Q1): loop of descriptors, direct and indirect
    // COVERS(pci.bars, pci.header)          clauses of `vblk check`, whose rules are in dm/tools/check/

Words that need another line go on behind "//   ". What is in the parentheses chooses the table and the order in it: Q and B
are the rows of hostile guests, "crash" and "input" those without a number, "guest" is a script with a real guest, and all
else is the source of a rule.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/conformance.md"
ROWS = {"Q": 18, "B": 23}  # of hostile guests: none may get lost
CHECKS = ["pci", "registers", "ring", "block"]  # in the order in which the check goes

GUESTS = {"guests": "guest", "vfio-user": "vfio_user", "vhost-user": "vhost_user"}  # table: folder of scripts

COVERS = re.compile(r"^(?://|#) COVERS\(([^)]+)\)(?:: (.*))?$")
MORE = re.compile(r"^(?://|#)   (\S.*)$")
COMMENT = re.compile(r"^(?://|#(?!include|define|if|pragma))")
TEST = re.compile(r"^(?:[A-Z_]+\((\w+)\)|void (\w+)\(.*\)) \{")
CLAUSE = re.compile(r'\{"([a-z]+\.[a-z-]+)", "([^"]+)",\s*"([^"]+)"')


class Cover:
    """One test, or one file where `test` is empty, and one thing that it covers."""

    def __init__(self, path, test, key, words):
        self.path, self.test, self.key, self.words = path, test, key, words

    def cell(self):
        if self.path.suffix == ".sh":
            return f"`{self.path}`"
        return f"`{self.path.stem}`" + (f": {self.test}" if self.test else "")


def covers_of(path):
    """Each COVERS of a file, once for each of its keys."""
    covers, pending = [], []
    for line in (ROOT / path).read_text().splitlines():
        if match := COVERS.match(line):
            pending.append([match[1], match[2] or ""])
        elif pending and (match := MORE.match(line)):
            pending[-1][1] += " " + match[1]
        elif pending and not COMMENT.match(line):
            test = TEST.match(line)
            name = (test[1] or test[2]) if test else ""
            for keys, words in pending:
                for key in [keys] if words else keys.split(", "):  # "device page, 1" is one source
                    covers.append(Cover(path, name, key, words))
            pending = []
    return covers


def test_files():
    return sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*") if path.suffix in (".cc", ".sh"))


def clauses():
    """(name, rule, source) of each clause of `vblk check`."""
    return [match for name in CHECKS for match in CLAUSE.findall((ROOT / f"dm/tools/check/{name}.cc").read_text())]


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def table(head, rows):
    """Cells that repeat those above them are left empty, but for the last column."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    above = None
    for row in rows:
        shown = list(row)
        if above:
            for column in range(len(row) - 1):
                if row[column] != above[column]:
                    break
                shown[column] = ""
        above = row
        lines.append("| " + " | ".join(shown) + " |")
    return lines


def grouped(covers):
    """Those with the same key and words together, in the order in which they come first."""
    first = {}
    for index, cover in enumerate(covers):
        first.setdefault((cover.key, cover.words), index)
    return sorted(covers, key=lambda cover: (natural(cover.key), first[cover.key, cover.words]))


def clause_table(covers):
    rows = []
    for name, rule, source in clauses():
        beside = sorted({cover.cell() for cover in covers if cover.key == name})
        rows.append((f"`{name}`", f"{rule} ({source})", ", ".join(beside)))
    return table(("clause", "rule", "tests beside the check"), rows)


def rule_table(covers):
    return table(("source", "rule", "test"), [(cover.key, cover.words, cover.cell()) for cover in grouped(covers)])


def numbered_table(covers):
    return table(("row", "provoked", "test"), [(cover.key, cover.words, cover.cell()) for cover in grouped(covers)])


def plain_table(covers):
    return table(("provoked", "test"), [(cover.words, cover.cell()) for cover in grouped(covers)])


def script_table(covers):
    return table(("script", "what"), [(f"`{cover.path.name}`", cover.words) for cover in covers])


def tables(covers):
    """The lines of each table by the name that the page calls it."""
    def those(condition):
        return [cover for cover in covers if condition(cover)]

    def scripts_in(folder):
        return those(lambda cover: cover.key == "guest" and cover.path.parent.name == folder)

    named = {name for name, _, _ in clauses()} | {"crash", "input", "guest"}
    numbered = re.compile(r"[QB]\d+$")
    return {
        "clauses": clause_table(covers),
        "rules": rule_table(those(lambda cover: cover.key not in named and not numbered.match(cover.key))),
        **{name: script_table(scripts_in(folder)) for name, folder in GUESTS.items()},
        "chains": numbered_table(those(lambda cover: re.match(r"Q\d", cover.key))),
        "requests": numbered_table(those(lambda cover: re.match(r"B\d", cover.key))),
        "crash": plain_table(those(lambda cover: cover.key == "crash")),
        "input": plain_table(those(lambda cover: cover.key == "input")),
    }


def filled(page, made):
    """The page with what is between "<!-- generated: name -->" and "<!-- end -->" replaced."""
    return re.sub(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)",
                  lambda match: match[1] + "\n".join(made[match[2]]) + "\n" + match[3], page, flags=re.DOTALL)


def mistakes(page, covers):
    """What is wrong beside tables that are out of date."""
    known = {name for name, _, _ in clauses()}
    for cover in covers:
        where = f"{cover.path}: COVERS({cover.key})"
        if re.match(r"[a-z]+\.[a-z-]+$", cover.key) and not cover.key.endswith((".h", ".md")) and cover.key not in known:
            yield f"{where}: no clause of vblk check"
        if cover.key not in known and not cover.words:
            yield f"{where}: it does not say what is covered"
        if cover.key == "guest" and cover.path.parent.name not in GUESTS.values():
            yield f"{where}: no table has the scripts of that folder"
        if cover.key.endswith((".h", ".md")) and not (ROOT / cover.key).exists():
            yield f"{where}: there is no such file"
    for name in known - {cover.key for cover in covers}:
        yield f"{name}: no test covers this clause of vblk check"
    rows = {f"{letter}{number}" for letter, last in ROWS.items() for number in range(1, last + 1)}
    covered = {cover.key for cover in covers if re.match(r"[QB]\d+$", cover.key)}
    for row in sorted(rows ^ covered, key=natural):
        yield f"{row}: " + ("no test covers this row" if row in rows else "no such row; is ROWS up to date?")
    files = test_files()
    stems = {path.stem for path in files}
    tests = {name for path in files for line in (ROOT / path).read_text().splitlines() if (match := TEST.match(line))
             for name in match.groups() if name}
    for name in re.findall(r"`((?:\w+_test|fuzz_\w+))`", page):
        if name not in stems:
            yield f"{name}: the page names it, and there is no such file in tests/"
    for path in re.findall(r"`(tests/[\w/.]+)`", page):
        if not (ROOT / path).exists():
            yield f"{path}: the page names it, and there is no such file"
    for name in re.findall(r"\b(?:[a-z0-9]+_){3,}[a-z0-9]+\b", page):
        if name not in tests and name not in stems:
            yield f"{name}: the page names it, and there is no such test"


def main():
    page = PAGE.read_text()
    covers = [cover for path in test_files() for cover in covers_of(path)]
    made = filled(page, tables(covers))
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made)
        return 0
    wrong = list(mistakes(made, covers))
    if made != page:
        wrong.append("docs/conformance.md is not what the tests say; run docs/refresh.sh")
    print("\n".join(wrong) or f"{len(covers)} lines of COVERS, and the page is what they say")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
