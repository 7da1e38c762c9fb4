#!/usr/bin/env python3
"""What matrix.sh measured: <prefix>.json, and the same as a readable <prefix>.md with a plot, <prefix>.svg.

A cell is a row of the table at one depth. Its figures are medians over the runs; a run's ratio is that of the device to
the best direct figure of the same run. Only the standard library."""

import argparse
import datetime
import html
import json
import os
import platform
import statistics
import sys

CPU_GOALS = {1: 1.5, 16: 1.2, 32: 1.2}  # CPU time per request, device to direct
P99_GOALS = {1: 2.0}
NOTEWORTHY = 0.10  # a change against an earlier commit; less is noise on a shared machine


def cells_of(lines):
    """The runs of each cell, in the order in which rows came first."""
    cells = {}
    for line in lines:
        result = json.loads(line)
        cell = cells.setdefault((result["name"], result["depth"]),
                                {"name": result["name"], "depth": result["depth"], "goal": result["goal"], "runs": []})
        cell["runs"].append(result["bench"])
    for cell in cells.values():
        def median(pick, runs=cell["runs"]):
            return statistics.median(pick(run) for run in runs)
        cell["ratio"] = median(lambda run: run["ratio"])
        cell["cpu_ratio"] = median(lambda run: run["cpu_ratio"])
        cell["p99_ratio"] = median(lambda run: run["p99_ratio"])
        cell["device_iops"] = median(lambda run: run["device"]["iops"])
        cell["direct_iops"] = median(lambda run: run["direct"]["iops"])
        cell["direct_method"] = statistics.mode(run["direct_method"] for run in cell["runs"])
        cell["lowest"] = min(run["ratio"] for run in cell["runs"])
        cell["highest"] = max(run["ratio"] for run in cell["runs"])
    return list(cells.values())


def marks(cell):
    """For each figure: its goal, and whether it is met (None: no goal)."""
    depth, judged = cell["depth"], cell["goal"] is not None
    cpu, p99 = (CPU_GOALS.get(depth), P99_GOALS.get(depth)) if judged else (None, None)
    return {"ratio": (cell["goal"], cell["ratio"] >= cell["goal"] - 0.005 if judged else None),
            "cpu_ratio": (cpu, None if cpu is None else cell["cpu_ratio"] <= cpu + 0.005),
            "p99_ratio": (p99, None if p99 is None else cell["p99_ratio"] <= p99 + 0.005)}


def mark(met):
    return "" if met is None else " ✓" if met else " ✗"


def rows_and_depths(cells):
    names, depths = [], sorted({cell["depth"] for cell in cells})
    for cell in cells:
        if cell["name"] not in names:
            names.append(cell["name"])
    return names, depths, {(cell["name"], cell["depth"]): cell for cell in cells}


def thousands(iops):
    return f"{iops / 1000:.0f}k" if iops >= 100_000 else f"{iops / 1000:.1f}k" if iops >= 1000 else f"{iops:.0f}"


def summary(report):
    """The table of goals: a line for each row, a column for each depth."""
    names, depths, by_cell = rows_and_depths(report["cells"])
    lines = ["| ratio to the file | " + " | ".join(f"depth {depth}" for depth in depths) + " |",
             "|---|" + "---|" * len(depths)]
    for name in names:
        columns = []
        for depth in depths:
            cell = by_cell.get((name, depth))
            if cell is None:
                columns.append("")
                continue
            goal = "" if cell["goal"] is None else f" (≥ {cell['goal']:g})"
            columns.append(f"{cell['ratio']:.2f}{goal}{mark(marks(cell)['ratio'][1])}")
        lines.append(f"| {name} | " + " | ".join(columns) + " |")
    return lines


def details(report, before):
    head = ["workload", "depth", "goal", "ratio", "runs", "CPU ratio", "p99 ratio", "device IOPS", "direct IOPS", "p99 µs",
            "kicks", "interrupts", "switches"]
    head += ["ratio before", "change", "device IOPS, change"] if before is not None else []
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for cell in report["cells"]:
        met = marks(cell)

        def figure(key):
            goal, good = met[key]
            return f"{cell[key]:.2f}" + ("" if goal is None else f" (≤ {goal:g})") + mark(good)

        def device(key):
            return statistics.median(run["device"][key] for run in cell["runs"])
        line = [cell["name"], str(cell["depth"]), "" if cell["goal"] is None else f"≥ {cell['goal']:g}",
                f"{cell['ratio']:.2f}{mark(met['ratio'][1])}", f"{cell['lowest']:.2f} to {cell['highest']:.2f}",
                figure("cpu_ratio"), figure("p99_ratio"), thousands(cell["device_iops"]),
                f"{thousands(cell['direct_iops'])} {cell['direct_method']}", f"{device('p99_us'):.1f}",
                f"{device('kicks_per_io'):.3f}", f"{device('interrupts_per_io'):.3f}", f"{device('context_switches_per_io'):.3f}"]
        if before is not None:
            old = before.get((cell["name"], cell["depth"]))
            line += ["", "", ""] if old is None else [
                f"{old['ratio']:.2f}", change(cell["ratio"], old["ratio"]), change(cell["device_iops"], old["device_iops"])]
        lines.append("| " + " | ".join(line) + " |")
    return lines


def change(now, old):
    return "" if not old else f"{(now / old - 1) * 100:+.0f} %"


def changes(report, before):
    """What differs from the earlier commit by more than noise."""
    lines = []
    for cell in report["cells"]:
        old = before.get((cell["name"], cell["depth"]))
        if old is None or not old["ratio"] or abs(cell["ratio"] / old["ratio"] - 1) < NOTEWORTHY:
            continue
        word = "better" if cell["ratio"] > old["ratio"] else "worse"
        lines.append(f"* {word}: {cell['name']}, depth {cell['depth']}: {old['ratio']:.2f} → {cell['ratio']:.2f}")
    return sorted(lines, reverse=True) or ["* nothing by 10 % or more"]


def markdown(report, older, plot):
    judged = [good for cell in report["cells"] for _, good in marks(cell).values() if good is not None]
    host = report["host"]
    lines = [f"# {report['commit']}: the device beside the file", "",
             f"{report['date']}. {host['cpus']} CPUs, Linux {host['kernel']}; image of {report['image']} on {report['file_system']}; "
             f"{report['runs']} run(s), {report['seconds']} s for each side, in five rounds in turns.", "",
             f"{sum(judged)} of {len(judged)} goals met: ratio of requests per second, of CPU time per request (at most 1.5, 1.2 and "
             "1.2 at depths 1, 16 and 32), and of p99 at depth 1 (at most 2). Rows without a goal are for information.", ""]
    lines += summary(report) + ["", f"![ratios]({os.path.basename(plot)})", ""]
    before = None
    if older is not None:
        before = {(cell["name"], cell["depth"]): cell for cell in older["cells"]}
        lines += [f"## Against {older['commit']}", ""] + changes(report, before) + [""]
    lines += ["## Every cell", "", "*runs*: the lowest and the highest ratio. kicks, interrupts and context switches are per request, "
              "of the device.", ""]
    lines += details(report, before)
    return "\n".join(lines) + "\n"


STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 10px; fill: #57606a }
  .grid { stroke: #d0d7de } .one { stroke: #57606a; stroke-dasharray: 4 3 }
  .d0 { fill: #9ecae1 } .d1 { fill: #4292c6 } .d2 { fill: #08519c } .d3 { fill: #807dba }
  .goal { stroke: #cf222e; stroke-width: 2 } .met { stroke: #1a7f37; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .grid { stroke: #3d444d } .one { stroke: #9198a1 }
    .d0 { fill: #c6dbef } .d1 { fill: #6baed6 } .d2 { fill: #2f7fc1 } .d3 { fill: #9e9ac8 }
    .goal { stroke: #ff7b72 } .met { stroke: #56d364 }
  }"""


def svg(report):
    """A bar for each cell, a tick at its goal; bars that are longer than the axis say so by their number."""
    names, depths, by_cell = rows_and_depths(report["cells"])
    left, width, lane, top = 300, 480, 11, 52
    most = 2.0
    height = top + len(names) * (lane * len(depths) + 10) + 14
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" role="img">',
           f"<title>{html.escape(report['commit'])}: the device's requests per second, ratio to the file</title>",
           f"<style>{STYLE}\n</style>"]

    def x(value):
        return left + width * min(value, most) / most
    for index, depth in enumerate(depths):
        at = left + index * 90
        out.append(f'<rect class="d{index % 4}" x="{at}" y="10" width="12" height="10"/><text x="{at + 17}" y="19">depth {depth}</text>')
    at = left + len(depths) * 90
    out.append(f'<line class="met" x1="{at}" y1="9" x2="{at}" y2="21"/><text x="{at + 6}" y="19">goal, met</text>')
    out.append(f'<line class="goal" x1="{at + 80}" y1="9" x2="{at + 80}" y2="21"/><text x="{at + 86}" y="19">not met</text>')
    for tick in (0, 0.5, 1, 1.5, 2):
        out.append(f'<line class="{"one" if tick == 1 else "grid"}" x1="{x(tick):.1f}" y1="{top - 10}" x2="{x(tick):.1f}" y2="{height - 14}"/>')
        out.append(f'<text class="small" x="{x(tick):.1f}" y="{top - 14}" text-anchor="middle">{tick:g}</text>')
    y = top
    for name in names:
        middle = y + lane * len(depths) / 2 + 4
        out.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{html.escape(name)}</text>')
        for index, depth in enumerate(depths):
            cell = by_cell.get((name, depth))
            if cell is not None:
                end = x(cell["ratio"])
                out.append(f'<rect class="d{index % 4}" x="{left}" y="{y}" width="{end - left:.1f}" height="{lane - 2}">'
                           f'<title>{html.escape(name)}, depth {depth}: {cell["ratio"]:.2f}</title></rect>')
                out.append(f'<text class="small" x="{end + 4:.1f}" y="{y + lane - 2}">{cell["ratio"]:.2f}</text>')
                if cell["goal"] is not None:
                    kind = "met" if marks(cell)["ratio"][1] else "goal"
                    out.append(f'<line class="{kind}" x1="{x(cell["goal"]):.1f}" y1="{y - 1}" x2="{x(cell["goal"]):.1f}" y2="{y + lane - 1}"/>')
            y += lane
        y += 10
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", help="one JSON object a line, of matrix.sh")
    parser.add_argument("prefix", help="of the files to write")
    for option in ("commit", "seconds", "file-system", "image", "compare"):
        parser.add_argument("--" + option)
    given = parser.parse_args()
    with open(given.results, encoding="utf-8") as lines:
        cells = cells_of(lines)
    older = None
    if given.compare:
        try:
            with open(given.compare, encoding="utf-8") as file:
                older = json.load(file)
            older["commit"], older["cells"]
        except (OSError, ValueError, KeyError, TypeError):
            sys.exit(f"report.py: --compare {given.compare}: not a report of matrix.sh; give its <commit>.json")
    report = {"commit": given.commit, "date": datetime.date.today().isoformat(), "seconds": given.seconds,
              "runs": max(len(cell["runs"]) for cell in cells), "image": given.image, "file_system": given.file_system,
              "host": {"cpus": os.cpu_count(), "kernel": platform.release(), "machine": platform.machine()}, "cells": cells}
    texts = {".json": json.dumps(report, indent=1) + "\n", ".svg": svg(report),
             ".md": markdown(report, older, given.prefix + ".svg")}
    for suffix, text in texts.items():
        with open(given.prefix + suffix, "w", encoding="utf-8") as file:
            file.write(text)
    print("\n".join(summary(report)))
    if older is not None:
        print(f"\nagainst {older['commit']}:")
        print("\n".join(changes(report, {(cell["name"], cell["depth"]): cell for cell in older["cells"]})))
    print(f"\n{given.prefix}.md, .svg and .json")


if __name__ == "__main__":
    main()
