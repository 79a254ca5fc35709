"""A backtest for the chat: the command line's own, in a process of its own, as a card's figures, picture and file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import FloatArray, Pair, to_datetime
from core.engine.metrics import max_drawdown
from core.errors import DataError
from core.ml.differences import mean_interval
from core.ml.intervals import clusterings
from core.ports import CandleStore
from core.services.backtest import Backtest, run_backtest, stored_candles
from core.services.stored_range import beside, smaller, within
from core.services.views import Progress

ERROR = 0.05
"""Of the intervals that are shown."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BacktestView:
    """``total``, ``pairs`` and ``target_first`` as in ``Backtest.summary``; what is not JSON there is here.

    The intervals (95%) are of the win rate and of the mean net R of a signal, clustered by UTC day; None with too few
    days. ``drawdown``: the deepest fall of the net R curve in the order of closing. ``missing``: pairs without candles.
    ``csv`` None: there is no signal, or its ``csv_size`` (bytes) is more than was allowed. ``changed``: with settings
    that were changed from the chat.
    """

    pairs: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]
    days: int
    start: datetime
    end: datetime
    total: Mapping[str, Any]
    target_first: Mapping[str, Any]
    win_interval: Interval | None
    mean_interval: Interval | None
    drawdown: float
    picture: bytes | None
    csv: bytes | None
    csv_size: int
    changed: bool = False
    warning: str = ""
    seconds: float = 0.0


def backtest_job(
    progress: Progress, store: CandleStore, settings: Settings, pairs: Sequence[Pair], days: int, most: int
) -> BacktestView:
    """For a worker process: what ``julaba backtest --pairs ... --days N --out F.csv`` works out, drawn and written.

    ``most``: bytes that the CSV may have. Raises DataError where none of the pairs has candles.
    """
    progress("reading candles", 0.0)
    own = settings.with_pairs(pairs)
    found = stored_candles(store, pairs, own.frame)
    if not found:
        names = ", ".join(p.base for p in pairs)
        raise DataError(f"no {own.timeframe} candles of {names} are stored; /fetch gets them")
    stored = within(found, None, None, days)
    progress("signals and their outcomes", 0.2)
    result = run_backtest(
        stored.candles,
        own,
        stored.start,
        stored.end,
        detail=smaller(store, own.detail, stored.candles, stored.start, stored.end),
        beside=beside(store, stored, own),
    )
    progress("figures", 0.6)
    summary = result.summary
    wins, net, closed = _in_order_of_closing(result)
    progress("picture and file", 0.8)
    content = _csv(result) if len(result) else b""
    return BacktestView(
        pairs=summary["pairs"],
        missing=tuple(str(pair) for pair in pairs if pair not in stored.candles),
        days=days,
        start=to_datetime(stored.start),
        end=to_datetime(stored.end),
        total=summary["total"],
        target_first=summary["target_first"],
        win_interval=mean_interval(wins, closed, ERROR),
        mean_interval=mean_interval(net, closed, ERROR),
        drawdown=max_drawdown(np.cumsum([0.0, *net])),
        picture=_picture(result) if len(result) else None,
        csv=content if 0 < len(content) <= most else None,
        csv_size=len(content),
    )


def _in_order_of_closing(result: Backtest) -> tuple[FloatArray, FloatArray, tuple[Any, ...]]:
    """Each signal's win (gross, 0 or 1), its net R, and the clusters in time."""
    parts = result.parts
    gross = np.concatenate([p.outcomes.realized_r for p in parts])
    net = np.concatenate([p.net_r for p in parts])
    began = np.concatenate([p.candles.time[p.entries.row] for p in parts])
    ended = np.concatenate([p.candles.time[p.outcomes.exit_row] for p in parts])
    order = np.lexsort((began, ended))
    return (gross[order] > 0).astype(np.float64), net[order], clusterings(began[order], ended[order])


def _csv(result: Backtest) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "signals.csv"
        result.write_csv(path)
        return path.read_bytes()


def _picture(result: Backtest) -> bytes:
    from core.reports.backtest_picture import backtest_picture
    from core.services.backtest_report import backtest_report

    return backtest_picture(backtest_report(result))
