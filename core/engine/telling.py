"""What a step tells: the events of signals, legs, ends, breakers and holes, each under a key that names the thing.

The same thing worked out twice has the same key, and the store keeps one per key.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import HOUR_MS, to_datetime
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.messages import Event, Notice, SignalDecided, TargetHit, TradeClosed
from core.domain.trading import Decision, ExitReason, Follow
from core.engine.trader import LegMoney


def trade_events(record: FollowRecord, money: Sequence[LegMoney], equity: float, settings: Settings) -> list[Event]:
    """The legs filled just now, and the end where it has come; ``equity`` USDT as it is told beside the end."""
    follow, levels = record.follow, record.follow.levels
    events: list[Event] = []
    done = 0.0
    fractions_before = sum(leg.fraction for leg in follow.legs[: len(follow.legs) - len(money)])
    realized = sum(leg.r for leg in follow.legs[: len(follow.legs) - len(money)])
    for m in money:
        done += m.leg.fraction
        realized += m.leg.r
        last = follow.closed and m.leg is follow.legs[-1]
        if m.leg.name.startswith("TP") and not last:
            events.append(
                TargetHit(
                    key=f"target:{record.follow_id}:{m.leg.name}",
                    time=to_datetime(m.leg.time + settings.frame.ms),
                    trade_id=record.follow_id,
                    pair=str(record.pair),
                    direction=levels.direction,
                    target=m.leg.name,
                    price=m.leg.price,
                    fraction=m.leg.fraction,
                    r=m.leg.r,
                    realized_r=realized,
                    remaining=max(0.0, 1 - fractions_before - done),
                    pnl=m.pnl,
                )
            )
    if follow.exit_reason is not None:
        events.append(_closed_event(record, follow, equity, settings))
    return events


def _closed_event(record: FollowRecord, follow: Follow, equity: float, settings: Settings) -> TradeClosed:
    assert follow.exit_reason is not None
    end = (follow.exit_time or record.last_time) + settings.frame.ms
    return TradeClosed(
        key=f"closed:{record.follow_id}",
        time=to_datetime(end),
        trade_id=record.follow_id,
        pair=str(record.pair),
        direction=follow.levels.direction,
        reason=follow.exit_reason,
        entry=follow.levels.entry,
        exit_price=follow.exit_price if follow.exit_price is not None else follow.levels.entry,
        last_target=f"TP{follow.targets_hit}" if follow.targets_hit else "",
        realized_r=follow.realized_r,
        realized_r_net=record.r_net or 0.0,
        pnl=record.pnl,
        duration_minutes=duration_minutes(follow, settings),
        equity=equity,
    )


def duration_minutes(follow: Follow, settings: Settings) -> int:
    """Minutes from the signal candle to the candle that ended it; 0 while it is open."""
    return 0 if follow.exit_time is None else (follow.exit_time - follow.entry_time) // 60_000


def breaker_notice(name: str, account: Account, close_time: int, settings: Settings) -> Notice:
    """A breaker that has just tripped, by its name in ``trader.roll``."""
    limits = settings.portfolio
    title, detail = {
        "daily_loss": (
            f"Daily loss limit: {1 - account.equity / account.day_start_equity:.1%} since 00:00 UTC",
            "No entries until the next day (UTC). Open positions keep their stops and targets.",
        ),
        "drawdown_warn": (
            f"Drawdown {account.drawdown:.1%} from the peak of {account.peak_equity:,.0f}",
            f"At {limits.drawdown_pause:.0%} entries stop until an approver sends /resume.",
        ),
        "drawdown_pause": (
            f"Drawdown {account.drawdown:.1%}: entries are paused",
            "Open positions keep their stops and targets. An approver resumes with /resume.",
        ),
    }[name]
    return Notice(
        key=f"breaker:{name}:{close_time}", time=to_datetime(close_time), topic="breaker", title=title, detail=detail
    )


def cooldown_notice(before: Account, after: Account, settings: Settings) -> list[Event]:
    """A run of losses that has just begun to pause entries."""
    if after.cooldown_until == before.cooldown_until:
        return []
    until = to_datetime(after.cooldown_until)
    began = after.cooldown_until - round(settings.portfolio.cooldown_hours * HOUR_MS)
    return [
        Notice(
            key=f"breaker:loss_streak:{after.cooldown_until}",
            time=to_datetime(began),
            topic="breaker",
            title=f"{settings.portfolio.loss_streak} losing trades in a row: no entries until {until:%d %b %H:%M} UTC",
            detail="Open positions keep their stops and targets.",
        )
    ]


def hole_notice(before: FollowRecord, after: FollowRecord, settings: Settings) -> list[Event]:
    """Candles that never came while a trade was open: whatever happened in them, nobody has seen it."""
    missing = after.missing - before.missing
    if not missing:
        return []
    frame = settings.frame.ms
    first, last = to_datetime(before.last_time + frame), to_datetime(before.last_time + (missing + 1) * frame)
    candles = "1 candle is" if missing == 1 else f"{missing} candles are"
    if after.follow.exit_reason is ExitReason.GAP:
        fate = "It ends at the last price known and is no sample."
    elif after.follow.closed:
        fate = "It has ended with the next candle."
    else:
        fate = "It stays open and is marked; its stop and targets count again from here."
    return [
        Notice(
            key=f"hole:{after.follow_id}:{before.last_time}",
            time=last,
            topic="fault",
            title=f"{after.pair.base}: {candles} missing while trade #{after.follow_id} was open",
            detail=f"Nobody could watch it from {first:%d %b %H:%M} to {last:%H:%M} UTC. {fate}",
        )
    ]


def signal_event(record: DecisionRecord, decision: Decision, trade_id: int | None) -> SignalDecided:
    """A signal and what the layers made of it, told under its decision's number."""
    candidate, opinions = decision.candidate, decision.opinions
    assert record.status != "candidate"
    return SignalDecided(
        key=f"signal:{record.decision_id}",
        time=to_datetime(candidate.close_time),
        decision_id=record.decision_id,
        pair=str(candidate.pair),
        direction=candidate.direction,
        status=record.status,
        reason=record.reason,
        entry=candidate.levels.entry,
        stop=candidate.levels.stop,
        targets=candidate.levels.targets,
        quantity=decision.quantity,
        risk_amount=decision.risk_amount,
        gemini_confidence=record.gemini_confidence,
        gemini_reasoning=record.gemini_reasoning,
        gemini_source=record.gemini_source,
        gemini_note=opinions.gemini_note,
        ml_probability=record.ml_probability,
        ml_average=record.ml_average,
        ml_note=opinions.model_note,
        combined_confidence=record.combined_confidence,
        influence_weight=record.influence_weight,
        verdicts=decision.verdicts,
        trade_id=trade_id,
        ml_reasons=record.reasons,
        neighbours=record.neighbours,
    )
