#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
figures.py - what the benchmarks measured, as a table and as plots

usage: figures.py DIRECTORY	(of figures.jsonl; writes bench.md and one SVG a chart next to it)

The scripts call section(), row() and bar(): each prints what it is given, and appends it to BUILD/bench/figures.jsonl, so
that the figures of all scripts of a run end up in one report.
"""

import html
import json
import os
import sys
import time

COLOURS = ("#1f6fb4", "#e07b39", "#4c9f70", "#8d6cab", "#777777")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 860, 300, 50, 50, 50


# ---- recording ----

def record(**what):
    directory = os.path.join(os.environ["WGWRAP_BUILD"], "bench") if "WGWRAP_BUILD" in os.environ else None
    if directory and os.path.isdir(directory):
        with open(os.path.join(directory, "figures.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(what) + "\n")


def section(title):
    print(f"== {title}", flush=True)
    record(kind="section", title=title)


def row(what, value):
    print(f"{what:58} {value}", flush=True)
    record(kind="row", what=what.strip(), value=value)


def bar(chart, group, series, value):
    """One bar of a chart: bars of a group stand together, each series has its colour."""
    record(kind="bar", chart=chart, group=group, series=series, value=value)


# ---- the report ----

def in_order(values):
    return list(dict.fromkeys(values))


def text(x, y, what, anchor="middle", size=11):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(what)}</text>'


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def svg(title, bars):
    groups, series = in_order(b["group"] for b in bars), in_order(b["series"] for b in bars)
    most = max(b["value"] for b in bars) or 1
    span = (WIDTH - LEFT - 10) / len(groups)
    width = min(60, span * 0.8 / len(series))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + TOP + BOTTOM}" font-family="sans-serif">',
           '<rect width="100%" height="100%" fill="white"/>', text(WIDTH / 2, 18, title, size=14)]
    for i, name in enumerate(series):
        x = LEFT + i * (WIDTH - LEFT) / len(series)
        out.append(f'<rect x="{x:.1f}" y="28" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>')
        out.append(text(x + 14, 37, name, "start"))
    for b in bars:
        tall = b["value"] / most * (HEIGHT - 20)
        s = series.index(b["series"])
        x = LEFT + groups.index(b["group"]) * span + (span - width * len(series)) / 2 + s * width
        y = TOP + HEIGHT - tall
        out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" '
                   f'fill="{COLOURS[s % len(COLOURS)]}"/>')
        out.append(text(x + width / 2 - 1, y - 3, number(b["value"]), size=9))
    out.append(f'<path d="M{LEFT} {TOP}V{TOP + HEIGHT}H{WIDTH - 10}" fill="none" stroke="black"/>')
    for i, name in enumerate(groups):
        out.append(text(LEFT + (i + 0.5) * span, TOP + HEIGHT + 18 + (i % 2) * 14, name, size=10))
    return "\n".join(out) + "\n</svg>\n"


def table(entries):
    lines = ["# Measured", "", f"{time.strftime('%Y-%m-%d')}, {os.uname().sysname} {os.uname().release}, "
             f"{os.cpu_count()} processors. Compare the figures of one run only."]
    in_table = False
    for e in entries:
        if e["kind"] == "section":
            lines += ["", f"## {e['title']}"]
            in_table = False
        elif e["kind"] == "row":
            if not in_table:
                lines += ["", "| what | measured |", "|---|---|"]
                in_table = True
            lines.append(f"| {e['what']} | {e['value']} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


def file_name(title):
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-") + ".svg"


def report(directory):
    with open(os.path.join(directory, "figures.jsonl"), encoding="utf-8") as f:
        entries = [json.loads(line) for line in f]
    bars = [e for e in entries if e["kind"] == "bar"]
    lines = table(entries)
    for title in in_order(b["chart"] for b in bars):
        with open(os.path.join(directory, file_name(title)), "w", encoding="utf-8") as f:
            f.write(svg(title, [b for b in bars if b["chart"] == title]))
        lines += f"\n![{title}]({file_name(title)})\n"
    with open(os.path.join(directory, "bench.md"), "w", encoding="utf-8") as f:
        f.write(lines)
    print(os.path.join(directory, "bench.md"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    report(sys.argv[1])
