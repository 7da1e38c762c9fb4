"""The blocks of code of a Markdown page, for readme_test.sh and tutorial_test.sh.

page_blocks.py <page> console    carries out the commands of ```console blocks and compares what they print with what is
                                   shown: `...` stands for anything, and blanks and ends of lines are one
page_blocks.py <page> commands   prints those of ```sh blocks, a line for each
"""

import re
import subprocess
import sys


def blocks(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def one_line(text):
    return " ".join(text.split())


def is_shown(shown, printed):
    parts = [re.escape(part.strip()) for part in one_line(shown).split("...")]
    return re.fullmatch(r"\s*" + ".*".join(parts) + r"\s*", one_line(printed)) is not None


def carry_out(block):
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, shown = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.DOTALL).groups()
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if not is_shown(shown, done.stdout):
            print(f"{command}\n  is said to print\n{shown}  and prints\n{done.stdout}")


def main():
    page, what = sys.argv[1:]
    with open(page, encoding="utf-8") as file:
        text = file.read()
    if what == "console":
        for block in blocks(text, "console"):
            carry_out(block)
    else:
        for block in blocks(text, "sh"):
            print(block.replace("\\\n", " "), end="")


main()
