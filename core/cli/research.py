"""``julaba indicators``: what stored candles say at each close."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path

from core.cli import Context, say
from core.cli.options import add_history, add_range, add_timeframe, check_range, timeframe_of
from core.cli.stored import load_range
from core.domain.candles import Pair, Timeframe, iso
from core.domain.trading import Snapshot


def indicators_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pair", type=Pair.parse, metavar="PAIR", help="such as LINK/USDT")
    add_range(parser)
    add_history(parser)
    add_timeframe(parser)
    parser.add_argument("--out", type=Path, metavar="F.csv", help="write every candle's indicators there")


def indicators(args: argparse.Namespace, context: Context) -> int:
    from core.engine.indicators import indicators as compute
    from core.services.indicator_csv import write_indicators

    check_range(args)
    candles = load_range(args, context, (args.pair,), timeframe_of(args, context.settings)).candles[args.pair]
    if args.history == "none":
        candles = candles.between(args.from_ms, None)
    shown = candles.between(args.from_ms, None)
    ind = compute(candles, context.settings.candles.max_gap).rows(len(candles) - len(shown), None)
    if args.out is not None:
        write_indicators(shown, ind, args.out)
        say(f"{len(shown)} candles of {args.pair} written to {args.out}")
    last = ind.snapshot(-1)
    data = {
        "pair": str(args.pair),
        "timeframe": candles.timeframe.name,
        "candles": len(shown),
        "from": iso(int(shown.time[0])),
        "to": iso(int(shown.time[-1]) + candles.timeframe.ms),
        "out": None if args.out is None else str(args.out),
        "last": _plain(last),
    }
    context.result(data, _snapshot_text(args.pair, candles.timeframe, last))
    return 0


def _plain(snapshot: Snapshot) -> dict[str, object]:
    """For JSON: not yet defined is null, and the time is text."""
    values = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(snapshot).items()}
    del values["open_time"]
    return {"time": iso(snapshot.open_time), **values}


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.6g}"


def _snapshot_text(pair: Pair, timeframe: Timeframe, snapshot: Snapshot) -> str:
    lines = [f"{pair} {timeframe.name}, candle of {iso(snapshot.open_time)}"]
    for name, value in list(asdict(snapshot).items())[1:]:
        lines.append(f"  {name:<22}{_shown(value):>14}")
    return "\n".join(lines)
