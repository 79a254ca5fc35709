"""The filters' audit for the chat: on what was lived through, and on the stored candles, with one picture.

Both run in a process of their own and are kept until a new outcome has come or a rule was changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Pair, to_ms
from core.domain.trading import ExitReason, Ruling
from core.engine.audit import AuditPart
from core.engine.indicators import REGIMES
from core.errors import DataError
from core.ml.audit import Audit, audit
from core.ports import CandleStore, Clock, Ledger, TradeRow
from core.services.loop import TradingLoop
from core.services.proposals import Audited, audit_job
from core.services.views import Progress
from core.services.worker import Worker

ENOUGH_LIVE = 200  # crossovers with an outcome, before the picture is theirs

_NO_SAMPLE = (ExitReason.GAP, ExitReason.MANUAL)
_AGAINST = (Ruling.HALF, Ruling.REFUSE, Ruling.RECORD)


@dataclass(frozen=True, slots=True)
class FiltersView:
    """``live`` is the audit of the crossovers that were followed, None where none has ended; ``stored`` that of the
    stored candles, None where there are none. ``picture`` is a PNG of the one that ``shown`` names.
    """

    live: Audit | None
    stored: Audit | None
    notes: tuple[str, ...]
    shown: str  # live or stored
    picture: bytes


class FilterDesk:
    """``before`` is awaited before the candle files are read: what is only in memory goes there."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        loop: TradingLoop,
        candles: CandleStore,
        before: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._candles = candles
        self._before = before
        self._one = asyncio.Lock()
        self._known: tuple[object, FiltersView] | None = None

    async def filters(self, progress: Progress) -> FiltersView:
        """At once where nothing has changed; who asks while it is being worked out waits for the same answer.

        Raises DataError where no crossover has an outcome yet.
        """
        async with self._one:
            settings = self._loop.in_force
            key = (self._loop.memory.outcomes, settings.strategy, settings.rules, settings.traded)
            if self._known is None or self._known[0] != key:
                self._known = key, await self._work_out(settings, progress)
            return self._known[1]

    async def _work_out(self, settings: Settings, progress: Progress) -> FiltersView:
        progress("reading the ledger", 0.0)
        await self._before()
        rows = await self._ledger.trade_rows()
        parts = await asyncio.to_thread(lived_parts, rows, settings)
        async with Worker() as worker:
            return await worker.run_with_progress(
                progress, filters_job, parts, self._candles, settings, to_ms(self._clock.now())
            )


def filters_job(
    progress: Progress, parts: Sequence[AuditPart], candles: CandleStore, settings: Settings, now_ms: int
) -> FiltersView:
    """For a worker process. Raises DataError where neither the ledger nor the candles have a crossover that ended."""
    from core.reports.audit_charts import audit_chart

    live = lived_audit(parts, settings)
    stored: Audited | None = None
    try:
        stored = audit_job(progress, candles, settings, now_ms)
    except DataError as error:
        if live is None:
            raise DataError(f"no crossover has ended yet, and {error}") from error
    progress("drawing", 0.95)
    of_live = live is not None and (stored is None or live.candidates >= ENOUGH_LIVE)
    shown = live if of_live else stored.audit if stored else None
    assert shown is not None
    notes = stored.notes if stored else ("No candles are stored: only what was lived through is shown.",)
    return FiltersView(
        live, stored.audit if stored else None, notes, "live" if of_live else "stored", audit_chart(shown)
    )


def lived_audit(parts: Sequence[AuditPart], settings: Settings) -> Audit | None:
    """None where no crossover that was followed has ended."""
    if not any(part.sample.any() for part in parts):
        return None
    first = min(int(part.decided.min()) for part in parts)
    last = max(int(part.end.max()) for part in parts)
    return audit(parts, settings, first, last)


def lived_parts(rows: Sequence[TradeRow], settings: Settings) -> list[AuditPart]:
    """Every crossover that the bot has followed to its end, by pair, as the audit reads stored ones. Pure."""
    by_pair: dict[Pair, list[TradeRow]] = {}
    for row in sorted(rows, key=lambda r: (r.decision.open_time, r.decision.decision_id)):
        if row.follow.follow.closed and row.follow.r_net is not None:
            by_pair.setdefault(row.decision.pair, []).append(row)
    return [_part(pair, found, settings) for pair, found in sorted(by_pair.items())]


def _part(pair: Pair, rows: Sequence[TradeRow], settings: Settings) -> AuditPart:
    """The rows count candles since 1970: only their distances matter. Alignment and BTC are known of signals alone."""
    frame = settings.frame
    decisions, follows = [r.decision for r in rows], [r.follow for r in rows]
    opened = np.array([d.open_time for d in decisions], dtype=np.int64)
    row = opened // frame.ms
    signals = row[[d.is_signal for d in decisions]]
    before = np.searchsorted(signals, row)
    last = signals[np.maximum(before - 1, 0)] if len(signals) else row
    since = np.where(before > 0, row - last, -1)
    return AuditPart(
        pair=pair,
        row=row,
        sign=np.array([d.direction.sign for d in decisions], dtype=np.int8),
        decided=opened + frame.ms,
        end=np.array([(f.follow.exit_time or 0) + frame.ms for f in follows], dtype=np.int64),
        bars_since=since.astype(np.int64),
        adx=np.array([d.snapshot.adx for d in decisions]),
        rsi=np.array([d.snapshot.rsi for d in decisions]),
        volume_ratio=np.array([d.snapshot.volume_ratio for d in decisions]),
        regime=np.array([REGIMES.index(d.snapshot.regime) for d in decisions], dtype=np.int8),
        aligned=_agrees(rows, "alignment"),
        with_btc=_agrees(rows, "btc"),
        gross=np.array([f.follow.realized_r for f in follows]),
        net=np.array([f.r_net for f in follows], dtype=np.float64),
        sample=np.array([f.follow.exit_reason not in _NO_SAMPLE for f in follows], dtype=np.bool_),
        strategy=settings.strategy,
    )


def _agrees(rows: Sequence[TradeRow], rule: str) -> BoolArray:
    against = [any(v.rule == rule and v.ruling in _AGAINST for v in r.decision.verdicts) for r in rows]
    return ~np.array(against, dtype=np.bool_)
