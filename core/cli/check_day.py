"""``julaba check day``: one lived day of a ledger against a backtest of the same day."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context
from core.cli.check_material import paragraph
from core.cli.options import parse_utc
from core.cli.text import table
from core.config import Settings
from core.domain.candles import DAY_MS, iso, to_datetime
from core.errors import DataError, UsageError

if TYPE_CHECKING:
    from core.services.day_book import DayBook
    from core.services.day_check import DayCheck, DayDifference


def day_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The signals of one UTC day and the outcomes that became known in it, as the ledger has them, against a "
        "backtest of the stored candles: each difference with its cause. Exit 1 where one has none."
    )
    parser.add_argument(
        "--day", type=parse_utc, metavar="YYYY-MM-DD", help="the day, UTC (default: the last whole one of the ledger)"
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )


def day(args: argparse.Namespace, context: Context) -> int:
    if args.day is not None and args.day % DAY_MS:
        raise UsageError(f"--day {iso(args.day)} is no day: write it like 2024-01-31")
    path = args.ledger or bootstrap.ledger_path(context.data_dir)
    settings, book = asyncio.run(_read(path, context.settings, args.day))
    found = _check(context, settings, book)
    ok = not found.unknown
    context.result({"ok": ok, "verdict": _verdict(found), **found.data()}, _text(found))
    return 0 if ok else 1


async def _read(path: Path, configured: Settings, day: int | None) -> tuple[Settings, DayBook]:
    from core.services.changes import in_force
    from core.services.day_book import read_day

    async with bootstrap.open_ledger(path) as ledger:
        settings = in_force(configured, (await ledger.controls()).changes).settings
        curve = await ledger.equity_curve()
        if not curve:
            raise DataError(f"the ledger {path} has no candle yet: there is no day to check")
        last = curve[-1][0] // DAY_MS * DAY_MS - DAY_MS
        book = await read_day(ledger, settings, last if day is None else day)
    if book is None:
        raise DataError(
            f"the ledger has nothing of {_day(last if day is None else day)}: it reaches from {iso(curve[0][0])} to "
            f"{iso(curve[-1][0])}"
        )
    return settings, book


def _check(context: Context, settings: Settings, book: DayBook) -> DayCheck:
    """Raises DataError where the files lack a pair's candles of the day: a bot that runs writes them once a day."""
    from core.services.day_check import check_day

    store = bootstrap.candle_store(context.data_dir)
    end = min(book.end, book.known_until)
    lacking = [
        str(pair)
        for pair in settings.traded
        if book.handled(pair) >= book.day and not len(store.load(pair, settings.frame, book.day, end))
    ]
    if lacking:
        raise DataError(
            f"no candles of {_day(book.day)} are stored for {', '.join(lacking)}; get them with `julaba fetch`"
        )
    return check_day(store, settings, book)


def _text(found: DayCheck) -> str:
    lines = [f"{_day(found.day)}: {found.signals} signals, {found.outcomes} outcomes", ""]
    if found.differences:
        lines += [*table(("signal, UTC", "pair", "what", "cause"), [_row(d) for d in found.differences]), ""]
        lines += [*_details(found.differences), ""]
    return "\n".join([*lines, paragraph(_verdict(found))])


def _row(difference: DayDifference) -> Sequence[str]:
    time = f"{to_datetime(difference.time):%d %b %H:%M}"
    return time, f"{difference.pair.base} {difference.direction}", difference.what, difference.cause


def _details(differences: Sequence[DayDifference]) -> list[str]:
    return [paragraph(d.line) for d in differences if d.detail]


def _verdict(found: DayCheck) -> str:
    if not found.differences:
        return "Everything is as in the backtest."
    causes = ", ".join(f"{cause} {count}" for cause, count in found.causes.items())
    if found.unknown:
        return f"WITHOUT A CAUSE: {len(found.unknown)} of {len(found.differences)} differences ({causes})."
    return f"Every difference has its cause: {causes}."


def _day(day: int) -> str:
    return f"{to_datetime(day):%Y-%m-%d}"
