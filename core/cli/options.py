"""Options that several commands share, so that they are named and read alike everywhere."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from functools import partial

from core.config import Settings
from core.domain.candles import Timeframe, iso, to_ms
from core.errors import UsageError


def parse_utc(text: str) -> int:
    """Epoch ms of ``2024-01-01``, ``2024-01-01T12:00Z`` or any ISO time; without a zone it is UTC.

    Raises UsageError.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a time: write it like 2024-01-01 or 2024-01-01T12:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment.year < 1971:  # before that lies no candle, and the epoch's own edge overflows in some zones
        raise UsageError(f"{text!r} is too long ago")
    return to_ms(moment)


_MOST_DAYS = 36_500
"""A hundred years: no candles are older, and times stay far from where they overflow."""


def whole_number(text: str, most: int) -> int:
    """A whole number from 1 to ``most``. Raises ArgumentTypeError, to which argparse adds the option's name."""
    number = int(text) if text.strip().isascii() and text.strip().isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    if number > most:
        raise argparse.ArgumentTypeError(f"{text} is too many: at most {most:,}")
    return number


def positive_int(text: str) -> int:
    """For ``type=``: as ``whole_number``, up to a thousand million."""
    return whole_number(text, 1_000_000_000)


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """``--pairs A,B``; give ``args.pairs`` to ``Context.pairs``."""
    parser.add_argument("--pairs", metavar="A,B", help="such as LINK/USDT,ETH/USDT (default: all configured pairs)")


def add_range(parser: argparse.ArgumentParser) -> None:
    """``--from`` (inclusive) and ``--to`` (exclusive): ``args.from_ms`` and ``args.to_ms``, epoch ms or None.

    Call ``check_range`` once they are parsed.
    """
    parser.add_argument("--from", dest="from_ms", type=parse_utc, metavar="TIME", help="first open time, UTC")
    parser.add_argument("--to", dest="to_ms", type=parse_utc, metavar="TIME", help="end, not included, UTC")


def check_range(args: argparse.Namespace) -> None:
    """Raises UsageError when ``--to`` does not lie after ``--from``, or ``--days`` names a second beginning."""
    if args.from_ms is not None and args.to_ms is not None and args.to_ms <= args.from_ms:
        raise UsageError(f"--to {iso(args.to_ms)} must lie after --from {iso(args.from_ms)}")
    if args.from_ms is not None and getattr(args, "days", None) is not None:
        raise UsageError("--days and --from both say where to begin; give one of them")


def add_timeframe(parser: argparse.ArgumentParser) -> None:
    """``--timeframe``; read it with ``timeframe_of``."""
    parser.add_argument(
        "--timeframe", type=Timeframe.parse, metavar="T", help="1m, 5m, 15m, 30m or 1h (default: as configured)"
    )


def timeframe_of(args: argparse.Namespace, settings: Settings) -> Timeframe:
    """The timeframe named on the command line, else the configured one."""
    named: Timeframe | None = args.timeframe
    return named or settings.frame


def add_days(parser: argparse.ArgumentParser, help_text: str) -> None:
    """``--days N``: ``args.days``, at least 1, or None."""
    parser.add_argument("--days", type=partial(whole_number, most=_MOST_DAYS), metavar="N", help=help_text)


def add_last_days(parser: argparse.ArgumentParser, default: str = "all that is stored") -> None:
    """``--days N`` as ``stored.load_range`` reads it: back from ``--to`` or from where the candles end."""
    add_days(parser, f"the last N days before --to, or before the candles end (default: {default})")


def add_adx_min(parser: argparse.ArgumentParser) -> None:
    """``--adx-min X``: ``args.adx_min``, a number or None; use it with ``services.loosened``."""
    parser.add_argument(
        "--adx-min",
        type=float,
        metavar="X",
        help="loosen the ADX filter to X for this run only (20: below that the regime refuses all); what the "
        "strategy's own filters refuse stays a candidate: it teaches and never proves. Live trading is not changed",
    )


def add_history(parser: argparse.ArgumentParser) -> None:
    """``--history all|none``: ``args.history``."""
    parser.add_argument(
        "--history",
        choices=("all", "none"),
        default="all",
        help="all: earlier stored candles warm the indicators up (default); none: they are not used",
    )


def add_seed(parser: argparse.ArgumentParser, what: str) -> None:
    """``--seed`` of ``what``; read it with ``seed_of``."""
    parser.add_argument("--seed", type=int, metavar="N", help=f"of {what} (default: ml.seed)")


def seed_of(args: argparse.Namespace, settings: Settings) -> int:
    """The seed named on the command line, else the configured one. Raises UsageError for a negative one."""
    seed = settings.ml.seed if args.seed is None else int(args.seed)
    if seed < 0:
        raise UsageError(f"--seed {seed} must not be negative")
    return seed
