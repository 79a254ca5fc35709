"""``python -m tests.soak``: a month with kills beside one without (``make soak``)."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from core.domain.candles import DAY_MS, to_ms
from julaba_tg.phone.exchange import CandleSource
from julaba_tg.phone.market_sim import MarketSim
from tests.soak.comparing import counted
from tests.soak.memory import Month30, remember, table
from tests.soak.month import CLOSES_A_DAY
from tests.soak.real import real_source
from tests.soak.runs import Lived, Soaked, soak
from tests.soak.world import START

MOST_SHOWN = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="no kills: memory, tasks, files, the log")
    parser.add_argument("--folder", type=Path, help="kept afterwards; otherwise a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="julaba-soak-") as temporary:
        folder = args.folder or Path(temporary)
        source = _source(args.seed)
        closes = round(args.days * CLOSES_A_DAY)
        if args.memory:
            return _remembered(asyncio.run(remember(folder / "memory", source, closes)))
        found = asyncio.run(soak(folder, source, closes=closes, kills=args.kills, seed=args.seed))
        return _report(found)


def _source(seed: int) -> CandleSource:
    """Real candles where JULABA_REAL_KLINES names a folder of them, else a simulated market."""
    folder = os.environ.get("JULABA_REAL_KLINES")
    if not folder:
        return MarketSim(seed)
    return real_source(Path(folder), to_ms(START), 45 * DAY_MS)


def _remembered(found: Month30) -> int:
    print(
        f"{found.seconds:.0f} s, {found.logs} log files, memory grew by {found.growth():.1f} MB in the last two thirds"
    )
    print(table(found))
    for fault in (faults := found.faults()):
        print(f"  {fault}")
    return 1 if faults else 0


def _report(found: Soaked) -> int:
    for name, lived in (("without kills", found.calm), ("with kills", found.killed)):
        print(f"{name}: {_words(lived)}")
    faults = found.faults()
    for fault in faults[:MOST_SHOWN]:
        print(f"  {fault}")
    if faults:
        print(f"{len(faults)} faults: {counted(found.differences)}")
        return 1
    print("the same books, the same approvals, the same alerts")
    return 0


def _words(lived: Lived) -> str:
    kills = ", ".join(f"{n} at {moment}" for moment, n in sorted(lived.kills.items()))
    return (
        f"{lived.seconds:.0f} s, {lived.starts} starts, {lived.decisions} decisions, {lived.trades} trades, "
        f"{lived.trainings} trainings, {lived.doubles.explained} doubles by kills"
        + (f"; {lived.kills.total()} kills: {kills}" if kills else "")
    )


if __name__ == "__main__":
    sys.exit(main())
