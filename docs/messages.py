"""Every message that ends a command or a start, in one list, to be read as a whole: same voice, the option, the value, what would
be right, one line.

messages.py [--where]    each once, sorted, with `...` for what differs and | between alternatives; --where: with the place in the sources
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What makes an error: its text is the strings among its arguments.
MAKERS = r"\b(usage_error|misfit|refuse|refused|bad_value|unusable|unavailable|not_accepted|failed|Error ?\{)"


def argument_text(text, start):
    """What is between the bracket at `start` and its partner."""
    depth, i, quote = 0, start, False
    while i < len(text):
        c = text[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == '"':
                quote = False
        elif c == '"':
            quote = True
        elif c in "({[":
            depth += 1
        elif c in ")}]":
            depth -= 1
            if depth == 0:
                return text[start + 1 : i]
        i += 1
    return ""


def message_of(arguments):
    """The strings of an expression, joined; `...` stands for each other argument of a concat()."""
    plain = re.sub(r'R"\((.*?)\)"', lambda raw: '"' + raw[1].replace("\\", "\\\\").replace('"', '\\"') + '"', arguments)
    parts = re.split(r'("(?:[^"\\]|\\.)*")', plain)
    text = ""
    for i, part in enumerate(parts):
        if i % 2 == 1:
            text += part[1:-1].replace('\\"', '"').replace("\\n", " ")
        elif 0 < i < len(parts) - 1 and re.fullmatch(r"\s*:\s*", part):
            text += "|"  # one or the other
        elif re.search(r"[A-Za-z0-9_]", part) and not re.fullmatch(r"\s*(ErrorKind::\w+,)?\s*(concat\()?\s*", part):
            text += "..." if re.search(r"^\s*,|,\s*$", part) or "?" in part or ":" in part else ""
    return text.strip()


def main():
    where = "--where" in sys.argv[1:]
    messages = {}
    for path in sorted(ROOT.glob("dm/**/*.cc")) + sorted(ROOT.glob("dm/**/*.h")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(MAKERS, text):
            start = match.end() - 1 if match[1].endswith("{") else match.end()
            if start >= len(text) or text[start] not in "({":
                continue
            message = message_of(argument_text(text, start))
            if len(message.strip(". :")) > 3 and " " in message:
                line = text.count("\n", 0, match.start()) + 1
                messages.setdefault(message, f"{path.relative_to(ROOT)}:{line}")
    for message in sorted(messages):
        print(f"{messages[message]}: {message}" if where else message)


main()
