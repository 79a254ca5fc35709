"""Replay: the live loop on stored candles, as fast as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import FollowKind
from core.ports import Ledger, Predictor, SettableClock, TradeRow
from core.services.loop import TradingLoop


@dataclass(frozen=True)
class Replay:
    """How a replay ended: all rows of its ledger, and the equity at its last close.

    ``paused_since``: the close (epoch ms) at which the drawdown limit ended all entries; nobody resumes in a replay.
    """

    rows: tuple[TradeRow, ...]
    equity: float
    refusals: Mapping[str, int]  # by the rule that refused
    paused_since: int | None = None

    @property
    def trades(self) -> tuple[TradeRow, ...]:
        """Closed trades in the order of their signals."""
        return tuple(r for r in self.rows if r.follow.kind is FollowKind.TRADE and r.follow.follow.closed)

    @property
    def open(self) -> int:
        return sum(r.follow.kind is FollowKind.TRADE and not r.follow.follow.closed for r in self.rows)

    @property
    def refused(self) -> int:
        return sum(r.decision.status == "refused" for r in self.rows)


async def replay(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    ledger: Ledger,
    clock: SettableClock,
    start_ms: int,
    end_ms: int,
    *,
    layers: bool = True,
    predictor: Predictor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replay:
    """Runs every candle with an open time in ``[start_ms, end_ms)`` through the loop; what lies before warms it up.

    ``candles`` hold the pairs to trade and BTC as the reference. ``layers`` False leaves the bare strategy: section 4
    of the design off. There is no Gemini in a replay, nor anybody to ask: in the mode advisory every card has its yes.
    ``ledger`` should be empty.
    """
    pairs = tuple(p for p in settings.pairs if Pair.parse(p.symbol) in candles)
    mode = "paper" if settings.mode == "advisory" else settings.mode
    only = settings.model_copy(update={"pairs": pairs, "mode": mode})
    loop = TradingLoop(only, clock, ledger, predictor=predictor, layers=layers)
    await loop.start()
    for window in candles.values():
        loop.warm(window.between(None, start_ms))
    used = {pair: c.between(start_ms, end_ms) for pair, c in candles.items()}
    rows = dict.fromkeys(used, 0)
    times = sorted({int(t) for c in used.values() for t in c.time})
    paused_since: int | None = None
    for number, time in enumerate(times):
        batch = {}
        for pair, window in used.items():
            row = rows[pair]
            if row < len(window) and int(window.time[row]) == time:
                batch[pair] = window.rows(row, row + 1)
                rows[pair] = row + 1
        clock.advance(to_datetime(time + settings.frame.ms))
        await loop.handle(batch)
        if layers and paused_since is None and loop.account.drawdown_paused:
            paused_since = time + settings.frame.ms
        progress(number + 1, len(times))
    return await _result(ledger, loop, paused_since)


async def _result(ledger: Ledger, loop: TradingLoop, paused_since: int | None) -> Replay:
    rows = tuple(await ledger.trade_rows())
    refusals: dict[str, int] = {}
    for row in rows:
        if row.decision.status == "refused":
            rule = next((f"{v.layer}: {v.rule}" for v in row.decision.verdicts if v.ruling == "refuse"), "unknown")
            refusals[rule] = refusals.get(rule, 0) + 1
    return Replay(rows, loop.account.equity, dict(sorted(refusals.items(), key=lambda item: -item[1])), paused_since)
