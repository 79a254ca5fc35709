"""``make bench``: every part in a process of its own, held to one core; then a table, and docs/performance.md anew.

Absolute times belong to the machine and the moment; ratios are of medians taken in one run and are what to compare.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time

from tests.bench import page
from tests.bench.measure import ROOT, Line, one_core, python, say

PARTS = {
    "rows": "against",
    "vectorbt": "against",
    "backtesting": "against",
    "command": "command",
    "dataset": "large",
    "load": "large",
    "candle": "single",
    "prediction": "single",
    "inside": "inside",
    "growth": "large",
    "close": "live",
    "status": "status",
    "memory": "status",
}
"""Part by part the module that measures it, in a function of the part's name."""

LIVE = ("close", "status", "memory")
"""The parts about the bot at work, on all cores; ``--only live`` measures them and writes their table alone."""


def measure(part: str) -> None:
    """In the child: one line of JSON for each line of the table."""
    if part not in LIVE:
        one_core()
    for line in getattr(importlib.import_module(f"tests.bench.{PARTS[part]}"), part)():
        print(line.to_json(), flush=True)


def collect(parts: list[str]) -> tuple[list[Line], list[str]]:
    """The lines of all parts, and the parts that failed: one that fails does not take the others along."""
    lines: list[Line] = []
    failed = []
    for part in parts:
        began = time.perf_counter()
        say(f"{part} ...")
        try:
            ran = python("tests.bench", "--measure", part)
        except RuntimeError as error:
            say(f"{part} could not be measured: {error}")
            failed.append(part)
            continue
        lines += [Line.from_json(text) for text in ran.text.splitlines()]
        if ran.remarks:
            say(ran.remarks.strip())
        say(f"{part}: {time.perf_counter() - began:.0f} s")
    return lines, failed


def _wanted(only: str | None) -> list[str]:
    if only == "live":
        return list(LIVE)
    return [only] if only else list(PARTS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=[*PARTS, "live"], help="one part alone; only `live` writes its table")
    parser.add_argument("--measure", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return 0
    load = os.getloadavg()[0]
    lines, failed = collect(_wanted(args.only))
    print(page.terminal(lines))
    if any(line.part == "growth" for line in lines):
        page.PICTURE.write_bytes(page.picture(lines))
    if args.only in (None, "live") and not failed:
        text = page.PAGE.read_text(encoding="utf-8")
        live = [line for line in lines if line.part in LIVE]
        if args.only is None:
            text = page.rewritten(text, [line for line in lines if line.part not in LIVE], load)
        text = page.rewritten(text, live, load, page.LIVE_MARKS)
        page.PAGE.write_text(text, encoding="utf-8")
        say(f"written to {page.PAGE.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
