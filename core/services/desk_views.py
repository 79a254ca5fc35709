"""What the desk shows of a position, a trade, a pair and the model: views made of what is known."""

from __future__ import annotations

from core.config import Settings
from core.domain.account import Position
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.ledger import FollowRecord
from core.domain.trading import FollowKind
from core.engine.telling import duration_minutes
from core.services.champion import ChampionInfo
from core.services.loop import TradingLoop
from core.services.prices import LivePrice
from core.services.views import PairView, PositionView, TradeView

CHART_CANDLES = 96


def position_view(position: Position, frame_ms: int, live: LivePrice | None) -> PositionView:
    follow, levels = position.follow, position.follow.levels
    open_r = position.direction.sign * (position.mark - levels.entry) / levels.risk * follow.remaining
    return PositionView(
        trade_id=position.trade_id,
        pair=str(position.pair),
        direction=position.direction,
        opened_at=to_datetime(follow.entry_time + frame_ms),
        entry=levels.entry,
        mark=position.mark,
        stop=levels.stop,
        targets=levels.targets,
        targets_hit=follow.targets_hit,
        remaining=follow.remaining,
        quantity=position.quantity,
        risk_amount=position.risk_amount,
        open_pnl=position.open_pnl,
        realized_pnl=position.pnl,
        r=follow.realized_r + open_r,
        bars=follow.bars,
        live=live,
        live_pnl=position.pnl_at(live.price) if live is not None else None,
    )


def trade_view(record: FollowRecord, settings: Settings) -> TradeView:
    """Of a trade that is closed."""
    follow, frame = record.follow, settings.frame
    assert follow.exit_reason is not None
    assert follow.exit_time is not None
    return TradeView(
        trade_id=record.follow_id,
        pair=str(record.pair),
        direction=follow.levels.direction,
        opened_at=to_datetime(follow.entry_time + frame.ms),
        closed_at=to_datetime(follow.exit_time + frame.ms),
        entry=follow.levels.entry,
        exit_price=follow.exit_price or follow.levels.entry,
        exit_reason=follow.exit_reason,
        last_target=f"TP{follow.targets_hit}" if follow.targets_hit else "",
        pnl=record.pnl,
        r_net=record.r_net or 0.0,
        duration_minutes=duration_minutes(follow, settings),
    )


def pair_view(pair: Pair, loop: TradingLoop, settings: Settings, signals: int, trouble: str) -> PairView:
    """``trouble``: what is wrong with its candles; without one, who switched it off is the note."""
    memory = loop.memory
    window = memory.windows.get(pair)
    known = window is not None and len(window) > 0
    switch = memory.switches.get(pair)
    enabled = loop.enabled(pair)
    return PairView(
        pair=str(pair),
        enabled=enabled,
        risk=settings.risk_of(pair),
        last_close=to_datetime(int(window.time[-1]) + settings.frame.ms) if known and window else None,
        price=float(window.close[-1]) if known and window else None,
        note=trouble or (switch.reason if switch and not enabled else ""),
        signals=signals,
        open_shadows=sum(f.pair == pair and f.kind is not FollowKind.TRADE for f in memory.book.follows.values()),
    )


def ml_summary(champion: ChampionInfo, weight: float, rows_needed: int, outcomes: int, look: int) -> str:
    if champion.model_id is None:
        return f"No model yet: {champion.rows} of {rows_needed} rows to learn from."
    counts = f"counts {weight:g}" if weight else "is asked and scored but decides nothing"
    scored = f"{outcomes} scored {'outcome' if outcomes == 1 else 'outcomes'}"
    return f"{champion.model_id} {counts}. {scored}; the gate looks at {look}."


def candles_shown(window: Candles, entry: int | None) -> int:
    """How many candles a chart shows: the last day, or from a little before an entry that is older."""
    since = 0 if entry is None else int((window.time >= entry).sum())
    return min(len(window), max(CHART_CANDLES, since + 24))
