"""Two tables held against each other, and every difference named: pair, time, field and both values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.domain.candles import iso
from core.domain.trading import Follow
from core.services.portfolio import PortfolioRun

Value = object
Key = tuple[str, str]  # pair, time as text
Table = Mapping[Key, Mapping[str, Value]]

MONEY = ("quantity", "risk_amount", "entry_fill", "pnl", "r_net", "exit_reason", "exit_time", "realized_r")

_NOTHING = 1e-12  # a rounding where the true value is 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two worlds differ; ``time`` is the entry candle's open time, or a close of the account."""

    pair: str
    time: str
    field: str
    first: Value
    second: Value


def differences(first: Table, second: Table, what: str, relative: float) -> Iterator[Difference]:
    """In the order of time: what only one of the two has (as ``what``), then field by field what differs.

    Numbers are the same within ``relative``; NaN and None both mean that there is none.
    """
    for key in sorted({*first, *second}, key=lambda k: (k[1], k[0])):
        if key not in first or key not in second:
            here, there = ("there", "missing") if key in first else ("missing", "there")
            yield Difference(*key, what, here, there)
            continue
        for name, wanted in first[key].items():
            found = second[key][name]
            if not _same(wanted, found, relative):
                yield Difference(*key, name, wanted, found)


def _same(wanted: Value, found: Value, relative: float) -> bool:
    wanted, found = _none(wanted), _none(found)
    if isinstance(wanted, float | int) and isinstance(found, float | int):
        return abs(wanted - found) <= max(relative * max(abs(wanted), abs(found)), _NOTHING)
    return wanted == found


def _none(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value


def money_row(amounts: Sequence[float | None], follow: Follow) -> Mapping[str, Value]:
    """``MONEY`` of a closed trade; ``amounts`` are its first five."""
    end = None if follow.exit_time is None else iso(follow.exit_time)
    return dict(zip(MONEY, (*amounts, follow.exit_reason, end, follow.realized_r), strict=True))


def account_tables(run: PortfolioRun) -> tuple[Table, Table, Table]:
    """The trades, refusals and closes of an account."""
    trades = {
        (str(t.candidate.pair), iso(t.candidate.open_time)): money_row(
            (t.quantity, t.risk_amount, t.entry_fill, t.pnl, t.r_net), t.follow
        )
        for t in run.trades
    }
    refused = {
        (str(r.candidate.pair), iso(r.candidate.open_time)): {"refused by": f"{r.verdict.layer}: {r.verdict.rule}"}
        for r in run.refused
    }
    closes = {("account", iso(int(t))): {"equity": float(e)} for t, e in zip(run.time, run.equity, strict=True)}
    return trades, refused, closes
