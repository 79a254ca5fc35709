"""How numbers and times are written for a phone. Pure; rounding happens here and nowhere else."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

UNKNOWN = "–"


def price(value: float | None) -> str:
    """Sensible digits: ``64,120`` ``3,412.6`` ``17.48`` ``1.234`` ``0.01234``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size >= 10_000 else f"{value:,.1f}"
    if size >= 10 or size == 0:
        return f"{value:.2f}"
    return f"{value:.{min(3 - math.floor(math.log10(size)), 12)}f}"


def money(value: float | None) -> str:
    """``$120``, ``$84.20``, ``-$3.10``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    digits = 0 if size >= 100 or size == round(size) else 2
    shown = f"{size:,.{digits}f}"
    return f"{'-' if value < 0 and float(shown.replace(',', '')) else ''}${shown}"


def signed_money(value: float | None) -> str:
    """``+$84.20``: for what was won or lost."""
    shown = money(value)
    return shown if shown.startswith(("-", UNKNOWN)) else f"+{shown}"


def percent(fraction: float | None, digits: int = 0) -> str:
    """A fraction as ``37%``."""
    return UNKNOWN if fraction is None or not math.isfinite(fraction) else f"{fraction * 100:.{digits}f}%"


def score(fraction: float | None) -> str:
    """A fraction as the bare ``37`` of an alert's first line."""
    return UNKNOWN if fraction is None or not math.isfinite(fraction) else f"{fraction * 100:.0f}"


def r_multiple(value: float | None) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:+.2f}R"


def hundredths(value: float | None) -> str:
    """A ratio or a share without a unit, as ``1.37``."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.2f}"


def figure(value: float | None) -> str:
    """Any other number, with at most three digits behind the point."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    shown = f"{value:,.3f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


def amount(value: float) -> str:
    """A quantity with four significant digits."""
    return f"{value:,.4g}" if math.isfinite(value) and abs(value) < 10_000 else figure(value)


def duration(span: timedelta | float) -> str:
    """A span, or minutes, as ``45m``, ``3h10``, ``2d 3h``."""
    exact = span.total_seconds() / 60 if isinstance(span, timedelta) else span
    if not math.isfinite(exact):
        return UNKNOWN
    minutes = max(0, round(exact))
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}"
    return f"{hours // 24}d {hours % 24}h"


def clock_time(moment: datetime | None, zone: ZoneInfo) -> str:
    return UNKNOWN if moment is None else moment.astimezone(zone).strftime("%H:%M")


def day_time(moment: datetime | None, zone: ZoneInfo) -> str:
    """``21 Nov 14:30``."""
    return UNKNOWN if moment is None else moment.astimezone(zone).strftime("%-d %b %H:%M")


def utc_day(zone: ZoneInfo, at: datetime) -> str:
    """``today``; ``today (UTC)`` for whoever's clocks are on another day for part of it."""
    return "today (UTC)" if at.astimezone(zone).utcoffset() else "today"


def counted(number: int, noun: str) -> str:
    """``1 trade``, ``2 trades``, ``1,200 trades``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def coin(pair: str) -> str:
    """``LINK`` for LINK/USDT; other quotes keep the whole name."""
    return pair.removesuffix("/USDT")


def bar(done: float, needed: float, width: int = 10) -> str:
    """``▓▓▓▓░░░░░░``: how far on the way."""
    share = min(1.0, max(0.0, done / needed)) if needed > 0 else 1.0
    full = math.floor(share * width)
    return "▓" * full + "░" * (width - full)
