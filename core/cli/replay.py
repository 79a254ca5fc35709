"""``julaba replay``: the live loop on stored candles, with a ledger in which every refusal can be read."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path

from core import bootstrap
from core.cli import Context, say
from core.cli.options import add_last_days, add_pairs, add_range, check_range
from core.cli.stored import load_range, with_btc
from core.cli.text import bar_of
from core.config import Settings
from core.domain.candles import Candles, Pair, iso, to_datetime
from core.services.records import LEDGER_COLUMNS, replay_row
from core.services.replay import Replay, replay
from core.services.tables import write_rows


def replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The live loop on stored candles, as fast as it goes. It asks neither Gemini, who cannot be asked about the "
        "past, nor the model, which has learned from these candles."
    )
    add_pairs(parser)
    add_range(parser)
    add_last_days(parser, "90")
    parser.add_argument(
        "--layers", choices=("all", "none"), default="all", help="none: the bare strategy, as the backtest has it"
    )
    parser.add_argument("--out", type=Path, metavar="F.csv", help="write the closed trades there")


def replay_command(args: argparse.Namespace, context: Context) -> int:
    check_range(args)
    settings = context.settings.with_pairs(context.pairs(args.pairs))
    stored = load_range(args, context, settings.traded, settings.frame, default_days=90)
    candles, start, end = with_btc(stored, context, settings), stored.start, stored.end
    path = context.data_dir / "replay" / "julaba.sqlite"
    result = asyncio.run(_run(candles, settings, path, start, end, args.layers == "all"))
    if args.out is not None:
        rows = [replay_row(row, candles[row.decision.pair], settings) for row in result.trades]
        write_rows(args.out, rows, LEDGER_COLUMNS)
        say(f"{len(rows)} trades written to {args.out}")
    say(f"the ledger is {path}: `julaba export decisions --ledger {path}` shows every refusal")
    data = {
        "trades": len(result.trades),
        "open": result.open,
        "refused": result.refused,
        "refusals": dict(result.refusals),
        "equity": result.equity,
        "paused_since": None if result.paused_since is None else iso(result.paused_since),
        "from": iso(start),
        "to": iso(end),
        "layers": args.layers,
    }
    context.result(data, _text(result, start, end))
    return 0


async def _run(
    candles: Mapping[Pair, Candles], settings: Settings, path: Path, start: int, end: int, layers: bool
) -> Replay:
    clock = bootstrap.replay_clock(to_datetime(min(start, end)))
    async with bootstrap.replay_ledger(path) as ledger:
        with bar_of("replay", "candle") as bar:
            return await replay(candles, settings, ledger, clock, start, end, layers=layers, progress=bar)


def _text(result: Replay, start: int, end: int) -> str:
    trades = result.trades
    pnl = sum(row.follow.pnl for row in trades)
    wins = sum(row.follow.follow.realized_r > 0 for row in trades)
    lines = [
        f"{iso(start)} to {iso(end)}",
        f"trades {len(trades)} ({wins} won gross), open {result.open}, refused {result.refused}",
        f"net P&L {pnl:+,.2f} USDT, equity {result.equity:,.2f} USDT",
    ]
    if result.paused_since is not None:
        lines.append(f"entries paused by the drawdown limit since {iso(result.paused_since)}")
    lines += ["asked neither Gemini nor the model, which has learned from these candles"]
    lines += [f"  refused by {rule}: {count}" for rule, count in result.refusals.items()]
    return "\n".join(lines)
