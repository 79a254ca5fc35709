"""``julaba indicators`` and ``julaba backtest``: what stored candles say."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.bootstrap import candle_store
from core.cli import Context, say
from core.cli.options import add_days, add_pairs, add_range, add_timeframe, check_range, timeframe_of
from core.cli.stored import warn_missing
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, iso
from core.domain.trading import Snapshot
from core.errors import DataError, UsageError

_DAY_MS = 86_400_000


def indicators_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pair", type=Pair.parse, metavar="PAIR", help="such as LINK/USDT")
    add_range(parser)
    _add_history(parser)
    add_timeframe(parser)
    parser.add_argument("--out", type=Path, metavar="F.csv", help="write every candle's indicators there")


def indicators(args: argparse.Namespace, context: Context) -> int:
    from core.engine.indicators import indicators as compute
    from core.services.indicator_csv import write_indicators

    check_range(args)
    candles = _load(args, context, (args.pair,), args.from_ms)[args.pair]
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


def backtest_arguments(parser: argparse.ArgumentParser) -> None:
    add_pairs(parser)
    add_range(parser)
    add_days(parser, "the last N days before --to (default: before the last stored candle's close)")
    _add_history(parser)
    add_timeframe(parser)
    parser.add_argument("--candidates", action="store_true", help="follow every crossover, not only the signals")
    parser.add_argument("--out", type=Path, metavar="F.csv", help="write the training data there")


def backtest(args: argparse.Namespace, context: Context) -> int:
    from core.services.backtest import run_backtest

    check_range(args)
    if args.days is not None and args.from_ms is not None:
        raise UsageError("--days and --from both say where to begin; give one of them")
    candles = _load(args, context, context.pairs(args.pairs), args.from_ms, name_others=args.pairs is None)
    start = args.from_ms
    if args.days is not None:
        start = (args.to_ms or max(int(c.time[-1]) + c.timeframe.ms for c in candles.values())) - args.days * _DAY_MS
    result = run_backtest(
        candles, context.settings, start, args.to_ms, history=args.history, candidates=args.candidates
    )
    if args.out is not None:
        result.write_csv(args.out)
        say(f"{len(result)} {'candidates' if args.candidates else 'signals'} written to {args.out}")
    context.result(result.summary, _summary_text(result.summary, context.settings))
    return 0


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--history",
        choices=("all", "none"),
        default="all",
        help="all: earlier stored candles warm the indicators up (default); none: they are not used",
    )


def _load(
    args: argparse.Namespace,
    context: Context,
    pairs: Sequence[Pair],
    start_ms: int | None,
    *,
    name_others: bool = False,
) -> dict[Pair, Candles]:
    """Candles up to ``--to`` for the pairs that have some in range; warns about the others.

    ``name_others``: also names what is stored but not among ``pairs``. Raises DataError when none has candles.
    """
    from core.services.backtest import stored_candles

    timeframe = timeframe_of(args, context.settings)
    store, settings = candle_store(context.data_dir), context.settings
    found = stored_candles(store, pairs, timeframe, start_ms, args.to_ms)
    where = "in this range" if start_ms is not None or args.to_ms is not None else "stored"
    missing = [str(p) for p in pairs if p not in found]
    if not found:
        raise DataError(
            f"no {timeframe.name} candles of {', '.join(missing)} {where}; "
            "get them with `julaba fetch` or `julaba candles import`"
        )
    stored = store.pairs(timeframe)
    words = f"has no {timeframe.name} candles {where}"
    said = warn_missing([p for p in pairs if p not in found], stored, settings.exchange.renames, words)
    others = [str(p) for p in stored if p not in (*pairs, *said, settings.btc)]
    if name_others and others:
        say(f"warning: stored but not configured, so left out: {', '.join(others)} (--pairs takes them)")
    return found


def _plain(snapshot: Snapshot) -> dict[str, object]:
    """For JSON: not yet defined is null, and the time is text."""
    values = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(snapshot).items()}
    del values["open_time"]
    return {"time": iso(snapshot.open_time), **values}


def _snapshot_text(pair: Pair, timeframe: Timeframe, snapshot: Snapshot) -> str:
    lines = [f"{pair} {timeframe.name}, candle of {iso(snapshot.open_time)}"]
    for name, value in list(asdict(snapshot).items())[1:]:
        lines.append(f"  {name:<22}{f'{value:.6g}' if isinstance(value, float) else value!s:>14}")
    return "\n".join(lines)


_HEADINGS = ("pair", "signals", "wins", "win rate", "R gross", "R net", "PF gross", "PF net", "ambiguous")


def _summary_text(summary: Mapping[str, Any], settings: Settings) -> str:
    """The figures per pair as a table with its explanation, for a person."""
    rows = [_row(pair, f, f["signals"]) for pair, f in summary["pairs"].items()]
    rows.append(_row("all", summary["total"], summary["total"]["signals"]))
    text = [f"{summary['from']} to {summary['to']}", "", *_aligned(_HEADINGS, rows)]
    if "candidates" in summary["total"]:
        rows = [_row(pair, f["candidates"], f["candidates"]["count"]) for pair, f in summary["pairs"].items()]
        rows.append(_row("all", summary["total"]["candidates"], summary["total"]["candidates"]["count"]))
        text += ["", *_aligned(("pair", "candidates", *_HEADINGS[2:]), rows)]
    costs = (settings.paper.fee_rate + settings.paper.slippage_rate) * 100
    text += ["", f"Net: after {costs:g}% of the price on each side for fee and slippage. PF: won for each 1 lost."]
    text += ["Ambiguous: a candle touched the stop and an open target; the stop is taken."]
    if gaps := summary["total"]["gap_ended"]:
        text += [f"{gaps} more were open when candles went missing for too long: left out."]
    return "\n".join(text)


def _row(name: str, figures: Mapping[str, Any], count: int) -> tuple[str, ...]:
    return (
        name,
        str(count),
        str(figures["wins"]),
        _share(figures["win_rate"]),
        f"{figures['realized_r']:+.2f}",
        f"{figures['realized_r_net']:+.2f}",
        _ratio(figures["profit_factor"]),
        _ratio(figures["profit_factor_net"]),
        _share(figures["ambiguous_share"]),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and the others to the right; the last row stands apart."""
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    rule = "  ".join("-" * width for width in widths)

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join((first, *rest))

    return [line(headings), rule, *(line(r) for r in rows[:-1]), rule, line(rows[-1])]
