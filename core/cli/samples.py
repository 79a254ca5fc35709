"""``julaba samples``: how many samples there are, how fast they come, and when there will be enough."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context
from core.cli.pictures import write_picture
from core.cli.text import table, wrapped
from core.errors import DataError

if TYPE_CHECKING:
    from core.ml.forecast import Forecast, Reach
    from core.services.stock import Lived, PairHistory, Stock


def samples_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Counts of samples by source and pair, the rate of live outcomes, and when there will be 50, 200 and enough "
        "for the gate's next look: from the ledger, from stored candles, or from both."
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the outcomes and the forecast there")


def samples(args: argparse.Namespace, context: Context) -> int:
    from core.domain.candles import to_datetime, to_ms
    from core.services.champion import champion_reader
    from core.services.stock import stock_of

    settings = context.settings
    path = args.ledger or bootstrap.ledger_path(context.data_dir)
    lived = asyncio.run(_lived(path, context)) if args.ledger is not None or path.exists() else None
    now = bootstrap.computer_clock().now()
    if args.ledger is not None and lived is not None and lived.last_ms is not None:
        now = min(now, to_datetime(lived.last_ms))  # another ledger, such as a replay's, ended when it ended
    history = history_for(context, to_ms(now))
    if lived is None and not history:
        raise DataError(
            "there is no ledger and there are no candles yet: `julaba fetch` gets candles, `julaba run` keeps a ledger"
        )
    champion = champion_reader(bootstrap.model_files(context.data_dir))(0)
    stock = stock_of(settings, now, lived, history, champion.metrics)
    if args.png is not None:
        from core.reports.samples_chart import samples_chart

        write_picture(args.png, samples_chart(stock.forecast, stock.closed, stock.began))
    context.result(stock.to_json(), samples_text(stock, with_ledger=lived is not None))
    return 0


def history_for(context: Context, now_ms: int) -> tuple[PairHistory, ...]:
    """What the stored candles of the configured pairs give, up to a moment (epoch ms)."""
    from core.services.stock import history_of

    settings, store = context.settings, bootstrap.candle_store(context.data_dir)
    found = history_of(store, settings.traded, settings.frame, settings, now_ms)
    # Candles that are older than the bootstrap's time still say how often these pairs give a signal.
    return found or history_of(store, settings.traded, settings.frame, settings)


async def _lived(path: Path, context: Context) -> Lived:
    from core.services.stock import lived_of

    async with bootstrap.open_stores(path) as (ledger, chat):
        line = (await ledger.controls()).line
        return await lived_of(ledger, context.settings, len(await chat.looks(line)))


def samples_text(stock: Stock, *, with_ledger: bool) -> str:
    """What a person reads: a table by pair, the rate, the dates, and whether the gate could open."""
    from core.services.stock import SOURCES

    heads = ("pair", "trades", "refused", "candidates", "history", "candidates")
    rows = [(pair, *(f"{counts.get(source, 0):,}" for source in SOURCES[:-1])) for pair, counts in stock.pairs.items()]
    total = ("all", *(f"{stock.counts[source]:,}" for source in SOURCES[:-1]))
    lines = [
        "live: trades, shadows of refused signals, shadows of candidates; then stored candles: signals, candidates"
    ]
    lines += table(heads, [*rows, total], foot=True)
    augmented = stock.counts["augmented"]
    lines += ["", f"{augmented:,} augmented rows would be made by a training"] if augmented else []
    told = stock.forecast.told if with_ledger else f"no ledger yet; {stock.forecast.told}"
    lines += ["", *wrapped(f"{told[0].upper()}{told[1:]}.")]
    if stock.history_per_pair is not None:
        lines.append(f"Stored candles: {stock.history_per_pair:.2f} signals per pair and day.")
    lines += ["", *dates(stock.forecast)]
    lines += [
        f"  with {n} more pairs: 50 on {ahead.to_50.text}"
        for n, ahead in stock.more
        if ahead.to_50.on and ahead.to_50.left
    ]
    sentence = stock.forecast.sentence
    return "\n".join([*lines, "", *wrapped(f"{sentence[0].upper()}{sentence[1:]}.")])


def dates(ahead: Forecast) -> list[str]:
    """A line for each count that is waited for."""
    named = (
        ("50 live outcomes", ahead.to_50),
        ("200 live outcomes", ahead.to_200),
        (f"first possible yes, {ahead.gate.target} scored", ahead.gate),
    )
    width = max(len(name) for name, _ in named) + 1
    return [f"{name + ':':<{width}} {_when(reach)}" for name, reach in named]


def _when(reach: Reach) -> str:
    return reach.text if not reach.left else f"{reach.text}, {reach.left} more"
