"""What a backtest's page and pictures show, as plain values that the services fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray, Pair
from core.domain.trading import Candidate, Follow, Verdict
from core.reports.page_tiles import Tile


@dataclass(frozen=True, slots=True)
class ReportTrade:
    """A closed trade. ``pnl`` in USDT after costs, None where no account took it; ``r_net`` after costs."""

    candidate: Candidate
    follow: Follow
    r_net: float
    pnl: float | None = None


@dataclass(frozen=True, slots=True)
class ReportRefusal:
    """A signal that was not taken, by the first verdict against it; what it became, where that is known."""

    candidate: Candidate
    verdict: Verdict
    r_gross: float | None = None
    r_net: float | None = None


@dataclass(frozen=True, eq=False)
class Account:
    """The account over time: USDT at the closes ``time`` (epoch ms), costs paid, with holding the basket beside it."""

    time: IntArray
    equity: FloatArray
    benchmark: FloatArray
    exposed: BoolArray


@dataclass(frozen=True, eq=False)
class BacktestReport:
    """What the page shows. ``trades`` and ``refused`` in time order; ``candles`` may begin before ``start_ms``.

    Without ``account`` the trades are the signals, each followed by itself.
    """

    settings: Settings
    start_ms: int
    end_ms: int
    candles: Mapping[Pair, Candles]
    trades: tuple[ReportTrade, ...]
    tiles: tuple[Tile, ...]
    refused: tuple[ReportRefusal, ...] = ()
    account: Account | None = None
    notes: tuple[str, ...] = ()
