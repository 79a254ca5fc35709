"""``julaba report``: the success metrics of a ledger, with trend and cause, and the red flags that are justified."""

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
    from core.ml.success import Metric, Period
    from core.services.stock import Lived
    from core.services.success import Facts, Report

_TRENDS = {"better": "better", "worse": "worse", "same": "same", None: ""}


def report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What was promised after two and four weeks and at the bootstrap, what is there, how it was a week before, and "
        "why. A red flag is raised only where the target was within reach."
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the metrics and the equity there")


def report(args: argparse.Namespace, context: Context) -> int:
    from core.cli.samples import history_for
    from core.domain.candles import to_datetime, to_ms
    from core.services.champion import champion_reader
    from core.services.stock import stock_of
    from core.services.success import report_of

    settings = context.settings
    path = args.ledger or bootstrap.ledger_path(context.data_dir)
    facts, lived = asyncio.run(_read(path, context))
    if lived.last_ms is None:
        raise DataError(f"the ledger {path} has no candle yet; `julaba run` or `demo` fills it")
    # A ledger that ended, such as a replay's, is measured at its end.
    now = min(bootstrap.computer_clock().now(), to_datetime(lived.last_ms))
    champion = champion_reader(bootstrap.model_files(context.data_dir))(0).metrics
    stock = stock_of(settings, now, lived, history_for(context, to_ms(now)), champion)
    found = report_of(facts, stock, settings, champion)
    assert found is not None  # there is a first candle
    if args.png is not None:
        from core.reports.success_chart import success_chart

        write_picture(args.png, success_chart(found.headline, found.shown, found.equity))
    context.result(found.to_json(), report_text(found))
    return 0


async def _read(path: Path, context: Context) -> tuple[Facts, Lived]:
    from core.services.stock import lived_of
    from core.services.success import facts_of

    async with bootstrap.open_stores(path) as (ledger, chat):
        looks = len(await chat.looks((await ledger.controls()).line))
        return await facts_of(ledger, chat, context.settings), await lived_of(ledger, context.settings, looks)


def report_text(found: Report) -> str:
    """The whole table by period, then what stands behind each line that is not on target."""
    lines = [f"{found.days:.0f} days since the first candle; {found.headline}"]
    for period in ("2 weeks", "4 weeks", "bootstrap"):
        lines += ["", *_period(period, [m for m in found.metrics if m.period == period])]
    told = [m for m in found.shown if m.state != "good" and (m.cause or m.change)]
    lines += [""] if told else []
    for metric in told:
        change = f". {metric.change[0].upper()}{metric.change[1:]}" if metric.change else ""
        lines += wrapped(f"{metric.period}, {metric.name}: {metric.cause}{change}.")
    lines += ["", *wrapped(f"{found.unclear.words}.")] if found.unclear.words else []
    return "\n".join(lines)


def _period(period: Period, found: list[Metric]) -> list[str]:
    heads = (period if period == "bootstrap" else f"after {period}", "target", "red flag", "now", "week before", "")
    rows = [(m.name, m.wanted, m.warned, m.shown, _before(m), "RED FLAG" if m.raised else m.state) for m in found]
    return table(heads, rows)


def _before(metric: Metric) -> str:
    if metric.before is None:
        return "-"
    count = metric.target >= 2
    value = f"{metric.before:.0f}" if count else f"{metric.before:.2f}" if metric.target > 1 else f"{metric.before:.0%}"
    return " ".join(part for part in (value, _TRENDS[metric.trend]) if part)
