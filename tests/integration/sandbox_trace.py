#!/usr/bin/env python3
"""What a confined process was seen to do, against the table of docs/confinement.md.

usage: sandbox_trace.py <confinement.md> <with> <trace>...

A trace is what `strace -f` writes, of a process that was started with what <with> names, as the page does:
"--serve,--cmd_monitor". From the moment at which the filter is loaded each system call has to be in a row of the table
that is for such a process, with a thread of that kind. Arguments are the kernel's to look at: a call that is refused ends the
process.
"""
import re
import sys

KINDS = {"queues": "queue", "iothread": "queue", "vcpu": "vCPU", "acrn requests": "vCPU", "nbd connect": "link",
         "back end": "link", "acrn observer": "observer"}
ALL = {"control", "queue", "vCPU", "worker", "link"}


def kind_of(name):
    if re.fullmatch(r"blk.*/w\d", name):
        return "worker"
    return next((kind for begin, kind in KINDS.items() if name.startswith(begin)), "control")


def table_of(page, parts):
    rows = {}
    inside = False
    with open(page, encoding="utf-8") as file:
        for line in file:
            if line.startswith("<!--"):
                inside = line.startswith("<!-- generated: system-calls")
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            needed = {part.replace("`", "") for part in cells[3].split(", ")} if len(cells) >= 5 else set()
            if inside and cells[0].startswith("`") and (needed == {""} or needed & parts):
                threads = set(cells[2].split(", "))
                rows.setdefault(cells[0].strip("`"), set()).update(ALL | threads if "all" in threads else threads)
    return rows


def calls_of(trace):
    """(thread's kind, call) of each call that a thread of ours began once the filter was loaded."""
    names, confined = {}, False
    with open(trace, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not match:
                if "killed by SIGSYS" in line:
                    yield "control", "a call that was refused"
                continue
            thread, call, rest = match.groups()
            if call == "prctl" and rest.startswith("PR_SET_NAME"):
                names[thread] = rest.split('"')[1]
            if call == "execve" and names:
                names[thread] = "a program"
            if "SECCOMP_FILTER_FLAG_TSYNC, {len" in rest:
                confined = True
            elif confined and names.get(thread) != "a program":
                yield kind_of(names.get(thread, "main")), call


def main(page, parts, traces):
    table = table_of(page, set(parts.split(",")))
    if len(table) < 50:
        print(f"FAILED: {page}: the table has {len(table)} system calls")
        return 1
    seen, strange = set(), set()
    for trace in traces:
        for kind, call in calls_of(trace):
            seen.add(call)
            if kind not in table.get(call, ()):
                strange.add((call, kind))
    for call, kind in sorted(strange):
        print(f"FAILED: {call} by a {kind} thread is not in the table")
    print(f"{len(seen)} of {len(table)} system calls of the table were seen")
    return 1 if strange or not seen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
