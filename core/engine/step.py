"""One candle's effect on the book: exits first, entries after the opinions are in. Pure: book in, book and effect out.

Replay and live both call these two functions and nothing else changes a book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.candles import Candle, Pair
from core.domain.ledger import Asked, DecisionRecord, DecisionStatus, Effect, FollowRecord, LegRecord
from core.domain.messages import Event
from core.domain.trading import Candidate, Decision, Follow, FollowKind, Opinions, Verdict
from core.engine import advisory, fills, trader
from core.engine.filters import Facts, alignment_of
from core.engine.telling import breaker_notice, cooldown_notice, hole_notice, signal_event, trade_events
from core.engine.trader import LegMoney, Stance


@dataclass(frozen=True, slots=True)
class Book:
    """What a step changes: the account, the open follows by id, each pair's last signal, the next free ids.

    ``variant_signals``: the same last signal, by variant and pair.
    """

    account: Account
    follows: Mapping[int, FollowRecord]
    last_signals: Mapping[Pair, int]
    next_decision_id: int
    next_follow_id: int
    variant_signals: Mapping[tuple[str, Pair], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Close:
    """A pair's new candle and the last close before it (for a follow that ends at a gap)."""

    candle: Candle
    previous_close: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate with everything gathered about it. ``stale``: it came too late to be taken.

    ``variants``: what each variant of the filters says; ``features``: all that a model can see of the candidate. Both
    are stored with the decision and decide nothing.
    """

    candidate: Candidate
    opinions: Opinions
    facts: Facts
    stance: Stance
    stale: bool = False
    variants: tuple[Verdict, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)


def run_exits(book: Book, open_time: int, closes: Mapping[Pair, Close], settings: Settings) -> tuple[Book, Effect]:
    """Moves every open follow of these pairs by one candle, books what closed, rolls day and breakers."""
    account, follows = book.account, dict(book.follows)
    changed: list[FollowRecord] = []
    legs: list[LegRecord] = []
    settled: list[tuple[FollowRecord, tuple[LegMoney, ...]]] = []
    holes: list[Event] = []
    for record in book.follows.values():
        close = closes.get(record.pair)
        if close is None or record.last_time >= open_time:
            continue
        follow = _next(record, close, settings)
        record = replace(record, missing=record.missing + _missing(record, open_time, settings))
        if record.kind is FollowKind.TRADE:
            account, after, money = _settle_trade(account, record, follow, close.candle, settings)
            settled.append((after, money))
            holes += hole_notice(before=book.follows[record.follow_id], after=after, settings=settings)
        else:
            after, money = _settle_shadow(record, follow, close.candle, settings)
        legs += [LegRecord(record.follow_id, m.leg, m.pnl) for m in money]
        changed.append(after)
        if follow.closed:
            del follows[record.follow_id]
        else:
            follows[record.follow_id] = after
    # Told with the equity at this close, when every position has its new mark.
    events = holes + [e for after, money in settled for e in trade_events(after, money, account.equity, settings)]
    close_time = open_time + settings.frame.ms
    events += cooldown_notice(book.account, account, settings)
    account, tripped = trader.roll(account, close_time, settings)
    events += [breaker_notice(name, account, close_time, settings) for name in tripped]
    effect = Effect(
        step="exits",
        cursors=dict.fromkeys(closes, open_time),
        account=account,
        equity_time=close_time,
        follows=tuple(changed),
        legs=tuple(legs),
        events=tuple(events),
    )
    return replace(book, account=account, follows=follows), effect


def _next(record: FollowRecord, close: Close, settings: Settings) -> Follow:
    """The follow after this candle, or ended at the last close before a gap that is too long."""
    if _missing(record, close.candle.open_time, settings) > settings.candles.max_gap:
        return trader.end_at_gap(record.follow, close.previous_close or record.follow.levels.entry, record.last_time)
    return trader.advance(record.follow, close.candle, settings)


def _missing(record: FollowRecord, open_time: int, settings: Settings) -> int:
    """How many candles are not there between the last one a follow has seen and this one."""
    return (open_time - record.last_time) // settings.frame.ms - 1


def _settle_trade(
    account: Account, record: FollowRecord, follow: Follow, candle: Candle, settings: Settings
) -> tuple[Account, FollowRecord, tuple[LegMoney, ...]]:
    account, position, money = settle_trade(account, record, follow, settings)
    if not follow.closed:
        account = trader.mark(account, position, candle.close)
        position = replace(position, mark=candle.close)
    return account, trade_record(record, position, candle.open_time), money


def settle_trade(
    account: Account, record: FollowRecord, follow: Follow, settings: Settings
) -> tuple[Account, Position, tuple[LegMoney, ...]]:
    """Books what ``follow`` has beyond the record; the position is the trade's after that."""
    before = next(p for p in account.positions if p.trade_id == record.follow_id)
    return trader.settle(account, before, follow, settings)


def trade_record(known: FollowRecord, position: Position, last_time: int) -> FollowRecord:
    """A trade's record after ``position``; it has seen its candles up to ``last_time``."""
    closed = position.follow.closed
    return replace(
        known,
        follow=position.follow,
        last_time=last_time,
        mark=position.mark,
        pnl=position.pnl,
        r_net=position.pnl / position.risk_amount if closed else None,
    )


def _opened_record(decision_id: int, position: Position, last_time: int) -> FollowRecord:
    return FollowRecord(
        follow_id=position.trade_id,
        decision_id=decision_id,
        kind=FollowKind.TRADE,
        pair=position.pair,
        follow=position.follow,
        last_time=last_time,
        quantity=position.quantity,
        entry_fill=position.entry_fill,
        risk_amount=position.risk_amount,
        mark=position.mark,
        pnl=position.pnl,
    )


def _settle_shadow(
    record: FollowRecord, follow: Follow, candle: Candle, settings: Settings
) -> tuple[FollowRecord, tuple[LegMoney, ...]]:
    money = tuple(LegMoney(leg, 0.0) for leg in follow.legs[len(record.follow.legs) :])
    paper = settings.paper
    net = fills.net_r(follow.levels, follow.legs, paper.fee_rate, paper.slippage_rate) if follow.closed else None
    return replace(record, follow=follow, last_time=candle.open_time, mark=candle.close, r_net=net), money


def run_entries(
    book: Book,
    open_time: int,
    pairs: Sequence[Pair],
    proposals: Sequence[Proposal],
    decided_at: int,
    settings: Settings,
) -> tuple[Book, Effect]:
    """Decides the proposals in their order, each seeing the positions the ones before it opened.

    ``pairs``: all whose candle was looked at; ``decided_at``: epoch ms by the clock.
    """
    account, follows, signals = book.account, dict(book.follows), dict(book.last_signals)
    variant_signals = dict(book.variant_signals)
    decisions: list[DecisionRecord] = []
    opened: list[FollowRecord] = []
    events: list[Event] = []
    asked: list[Asked] = []
    decision_id, follow_id = book.next_decision_id, book.next_follow_id
    for proposal in proposals:
        candidate = proposal.candidate
        decision = _decision(proposal, account, settings)
        status = _status(proposal, decision, settings)
        if status == "taken":
            account, position = trader.open_position(account, decision, follow_id, settings)
            record = _opened_record(decision_id, position, candidate.open_time)
        else:
            record = _shadow(decision_id, follow_id, candidate)
        decisions.append(_record(decision_id, proposal, decision, status, decided_at))
        opened.append(record)
        if status == "waiting":
            asked.append(
                advisory.question(signal_event(decisions[-1], decision, None), record, proposal.facts, settings)
            )
        follows[follow_id] = record
        if candidate.is_signal:
            signals[candidate.pair] = open_time
            if proposal.stance.enabled and status != "waiting":  # the card that asks tells it
                trade_id = follow_id if status == "taken" else None
                events.append(signal_event(decisions[-1], decision, trade_id))
        variant_signals |= {(v.rule, candidate.pair): open_time for v in proposal.variants if v.number}
        decision_id, follow_id = decision_id + 1, follow_id + 1
    effect = Effect(
        step="entries",
        cursors=dict.fromkeys(pairs, open_time),
        account=account if account is not book.account else None,
        decisions=tuple(decisions),
        follows=tuple(opened),
        events=tuple(events),
        asked=tuple(asked),
    )
    return Book(account, follows, signals, decision_id, follow_id, variant_signals), effect


def _decision(proposal: Proposal, account: Account, settings: Settings) -> Decision:
    """A signal goes through the layers; a mere candidate keeps the verdicts that stopped it."""
    candidate = proposal.candidate
    if candidate.is_signal and not proposal.stale:
        return trader.decide(candidate, proposal.opinions, proposal.facts, account, proposal.stance, settings)
    return Decision(candidate, proposal.opinions, candidate.verdicts, False, 0.0, 0.0, None, 0.0)


_OF_MODE: dict[str, DecisionStatus] = {"paper": "taken", "advisory": "waiting", "signals": "signal_only"}
"""What becomes of a signal that every layer lets pass."""


def _status(proposal: Proposal, decision: Decision, settings: Settings) -> DecisionStatus:
    if not proposal.candidate.is_signal:
        return "candidate"
    if proposal.stale:
        return "missed"
    if not decision.taken:
        return "refused"
    return _OF_MODE[settings.mode]


def _reason(decision: Decision, status: DecisionStatus) -> str:
    if status == "missed":
        return "it was found more than a candle late"
    if status == "signal_only":
        return "signals only: nothing is traded in this mode"
    return decision.refused_by.sentence if decision.refused_by else ""


def _shadow(decision_id: int, follow_id: int, candidate: Candidate) -> FollowRecord:
    return FollowRecord(
        follow_id=follow_id,
        decision_id=decision_id,
        kind=FollowKind.SHADOW_SIGNAL if candidate.is_signal else FollowKind.SHADOW_CANDIDATE,
        pair=candidate.pair,
        follow=fills.begin(candidate.levels, candidate.open_time),
        last_time=candidate.open_time,
        mark=candidate.levels.entry,
    )


def _record(
    decision_id: int, proposal: Proposal, decision: Decision, status: DecisionStatus, decided_at: int
) -> DecisionRecord:
    candidate, gemini, model = proposal.candidate, proposal.opinions.gemini, proposal.opinions.model
    return DecisionRecord(
        decision_id=decision_id,
        pair=candidate.pair,
        timeframe=candidate.timeframe.name,
        open_time=candidate.open_time,
        direction=candidate.direction,
        is_signal=candidate.is_signal,
        status=status,
        reason=_reason(decision, status),
        snapshot=candidate.snapshot,
        verdicts=(*decision.verdicts, *proposal.variants),
        decided_at=decided_at,
        quantity=decision.quantity,
        risk_amount=decision.risk_amount,
        gemini_approve=gemini.approve if gemini else None,
        gemini_confidence=gemini.confidence if gemini else None,
        gemini_reasoning=gemini.reasoning if gemini else "",
        gemini_source=gemini.source if gemini else "",
        ml_probability=model.probability if model else None,
        ml_average=model.average if model else None,
        model_id=model.model_id if model else None,
        influence_weight=decision.influence_weight,
        combined_confidence=decision.combined_confidence,
        btc_correlation=proposal.facts.btc_correlation,
        timeframe_alignment=alignment_of(candidate.direction, proposal.facts),
        gemini_prompt_tokens=gemini.prompt_tokens if gemini else 0,
        gemini_output_tokens=gemini.output_tokens if gemini else 0,
        ml_rank=model.percentile if model else None,
        ml_size_rank=model.size_rank if model else None,
        features=proposal.features,
        reasons=model.reasons if model else (),
        neighbours=model.neighbours if model else (),
    )
