"""The step that replay and live share: ``decide`` after the opinions are in, ``apply`` in pure functions.

``core.engine.strategy.propose`` comes before, the store after. Nothing here reads a clock or waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.candles import DAY_MS, HOUR_MS, Candle
from core.domain.trading import Candidate, Decision, ExitReason, Follow, Leg, Opinions, Ruling, Verdict
from core.engine import fills, filters, sizing
from core.engine.filters import Facts


@dataclass(frozen=True, slots=True)
class Stance:
    """What people and the gate have set: nothing here is worked out from candles.

    ``approved_weight`` is the influence an approver granted, ``outcomes`` the live outcomes the ramp counts,
    ``paused`` the reason for a pause (empty when running), ``layers`` False for the bare strategy of the backtest.
    """

    approved_weight: float = 0.0
    outcomes: int = 0
    paused: str = ""
    enabled: bool = True
    layers: bool = True


@dataclass(frozen=True, slots=True)
class LegMoney:
    """A leg with what it made: ``pnl`` in USDT, net of its fee and slippage."""

    leg: Leg
    pnl: float


def decide(
    candidate: Candidate, opinions: Opinions, facts: Facts, account: Account, stance: Stance, settings: Settings
) -> Decision:
    """Runs every layer, keeps every verdict, and takes the signal when none refuses."""
    if not stance.layers:
        return _decide_bare(candidate, opinions, account, settings)
    weight = filters.effective_weight(stance.approved_weight, stance.outcomes)
    if opinions.model is None:
        weight = 0.0
    rank = opinions.model.size_rank if opinions.model else None
    confidence = filters.combined_confidence(opinions, weight, settings.gemini, settings.ml)
    rules = (
        filters.alignment_verdict(candidate.direction, facts, settings.rules),
        filters.btc_verdict(candidate.direction, facts, settings.rules),
    )
    size = sizing.size_of(
        candidate,
        account,
        settings.paper,
        settings.portfolio,
        settings.risk_of(candidate.pair),
        sizing.rule_factor(rules),
        sizing.confidence_factor(rank, weight),
    )
    verdicts = (
        *rules,
        filters.gemini_verdict(opinions, settings.gemini),
        filters.model_verdict(opinions, weight),
        filters.combined_verdict(confidence, settings.ml),
        *sizing.portfolio_verdicts(
            candidate,
            account,
            settings.portfolio,
            facts.correlations,
            stance.paused,
            stance.enabled,
            candidate.close_time,
        ),
        *sizing.confidence_verdict(rank, weight),
        *size.verdicts,
    )
    taken = all(v.ruling is not Ruling.REFUSE for v in verdicts)
    return Decision(
        candidate=candidate,
        opinions=opinions,
        verdicts=(*candidate.verdicts, *verdicts),
        taken=taken,
        quantity=size.quantity if taken else 0.0,
        risk_amount=size.risk_amount if taken else 0.0,
        combined_confidence=confidence,
        influence_weight=weight,
    )


def _decide_bare(candidate: Candidate, opinions: Opinions, account: Account, settings: Settings) -> Decision:
    """Section 4 off: every signal is taken with the plain risk of the starting balance."""
    risk = settings.paper.start_balance * settings.paper.risk_per_trade
    off = Verdict("portfolio", "layers", Ruling.ABSENT, None, "all layers are off")
    return Decision(
        candidate, opinions, (*candidate.verdicts, off), True, risk / candidate.levels.risk, risk, None, 0.0
    )


def entry_fill(candidate: Candidate, slippage_rate: float) -> float:
    """The entry price after slippage against us."""
    return candidate.levels.entry * (1 + candidate.direction.sign * slippage_rate)


def open_position(
    account: Account, decision: Decision, trade_id: int, settings: Settings, fill: float | None = None
) -> tuple[Account, Position]:
    """The account with the new position; the entry's fee leaves the cash at once.

    ``fill``: what was paid after slippage where that was not at the candidate's close.
    """
    candidate, paper = decision.candidate, settings.paper
    fill = entry_fill(candidate, paper.slippage_rate) if fill is None else fill
    fee = fill * decision.quantity * paper.fee_rate
    position = Position(
        trade_id=trade_id,
        pair=candidate.pair,
        direction=candidate.direction,
        quantity=decision.quantity,
        entry_fill=fill,
        risk_amount=decision.risk_amount,
        follow=fills.begin(candidate.levels, candidate.open_time),
        mark=candidate.levels.entry,
        pnl=-fee,
    )
    return replace(account, cash=account.cash - fee, positions=(*account.positions, position)), position


def settle(
    account: Account, before: Position, follow: Follow, settings: Settings
) -> tuple[Account, Position, tuple[LegMoney, ...]]:
    """Books the legs that ``follow`` has beyond ``before.follow``; a closed position leaves the account."""
    new_legs = follow.legs[len(before.follow.legs) :]
    money = tuple(LegMoney(leg, leg_pnl(before, leg, settings)) for leg in new_legs)
    cash, pnl = account.cash, before.pnl
    for m in money:  # one after the other: the sums are the same to the bit whether legs come together or singly
        cash, pnl = cash + m.pnl, pnl + m.pnl
    after = replace(before, follow=follow, pnl=pnl)
    rest = tuple(after if p.trade_id == before.trade_id else p for p in account.positions)
    account = replace(account, cash=cash, positions=rest)
    if follow.closed and new_legs:
        account = replace(account, positions=tuple(p for p in rest if p.trade_id != before.trade_id))
        account = _counted(account, after, settings)
    return account, after, money


def _counted(account: Account, ended: Position, settings: Settings) -> Account:
    """The run of losses with this trade; as many as ``portfolio.loss_streak`` pause entries, and the count begins anew.

    The pause is counted from the moment the trade's end was known.
    """
    limits = settings.portfolio
    streak = 0 if ended.pnl > 0 else account.loss_streak + 1
    if not limits.loss_streak or streak < limits.loss_streak:
        return replace(account, loss_streak=streak)
    known = (ended.follow.exit_time or 0) + settings.frame.ms
    until = known + round(limits.cooldown_hours * HOUR_MS)
    return replace(account, loss_streak=0, cooldown_until=max(until, account.cooldown_until))


def leg_pnl(position: Position, leg: Leg, settings: Settings) -> float:
    """Net money of one leg: price difference after slippage on both sides, less the exit's fee."""
    sign, paper = position.direction.sign, settings.paper
    quantity = position.quantity * leg.fraction
    fill = leg.price * (1 - sign * paper.slippage_rate)
    return sign * (fill - position.entry_fill) * quantity - fill * quantity * paper.fee_rate


def advance(follow: Follow, candle: Candle, settings: Settings) -> Follow:
    """One candle for a trade or a shadow: the same kernel for both.

    A trade may have been looked at inside this candle before: what it did then, it does not do again, and a stop that
    TP1 moved within the candle stays where it was for the candle as a whole, whose worst price may be older.
    """
    moved = bool(follow.legs) and follow.legs[0].time + settings.frame.ms <= candle.open_time
    return fills.advance(
        follow,
        candle,
        max_bars=settings.strategy.max_bars,
        fills=settings.fills,
        breakeven=settings.strategy.breakeven_after_tp1 and moved,
    )


MINUTE_MS = 60_000


def look_inside(follow: Follow, minutes: Iterable[Candle], settings: Settings) -> Follow:
    """The trade after these closed 1m candles, oldest first, of the candle that is running."""
    early = settings.frame.ms - MINUTE_MS  # a leg was known one timeframe after its time
    for minute in minutes:
        small = replace(minute, open_time=minute.open_time - early)
        follow = fills.look_inside(follow, small, fills=settings.fills, breakeven=settings.strategy.breakeven_after_tp1)
    return follow


def close_by_hand(follow: Follow, price: float, at: int, settings: Settings) -> Follow:
    """All that remains closed by a person at ``at`` (epoch ms); the running bar counts as its last."""
    ended = fills.close_at(follow, price, at - settings.frame.ms, ExitReason.MANUAL)
    return ended if follow.closed else replace(ended, bars=ended.bars + 1)


def end_at_gap(follow: Follow, last_close: float, last_time: int) -> Follow:
    """A follow that was open when candles went missing for too long: it ends at the last close known.

    A look may have filled a leg after that close: no end comes before it.
    """
    return fills.close_at(follow, last_close, max([last_time, *(leg.time for leg in follow.legs)]), ExitReason.GAP)


def mark(account: Account, position: Position, close: float) -> Account:
    """The account with a position valued at a new close."""
    marked = tuple(replace(p, mark=close) if p.trade_id == position.trade_id else p for p in account.positions)
    return replace(account, positions=marked)


def roll(account: Account, close_time: int, settings: Settings) -> tuple[Account, tuple[str, ...]]:
    """Day start, peak and breakers at a candle's close (epoch ms, UTC); the names of breakers tripped just now.

    Names: daily_loss, drawdown_warn, drawdown_pause. Each trips once: a day's limit until 00:00 UTC, the drawdown
    pause until a person resumes, the warning until equity has made a new peak.
    """
    limits, equity = settings.portfolio, account.equity
    day = max(close_time // DAY_MS, account.day)  # a pair whose candle comes late does not bring yesterday back
    tripped: list[str] = []
    if day != account.day:
        # The close at 00:00 ends the old day: its equity is where the new day starts.
        account = replace(account, day=day, day_start_equity=equity)
    if equity >= account.peak_equity:
        account = replace(account, peak_equity=equity, drawdown_warned=False)
    if equity <= (1 - limits.daily_loss) * account.day_start_equity and account.paused_day != day:
        account = replace(account, paused_day=day)
        tripped.append("daily_loss")
    # Compared as equities: 1 - 8000 / 10000 is a little less than 0.2.
    if equity <= (1 - limits.drawdown_pause) * account.peak_equity and not account.drawdown_paused:
        account = replace(account, drawdown_paused=True, drawdown_warned=True)
        tripped.append("drawdown_pause")
    elif equity <= (1 - limits.drawdown_warn) * account.peak_equity and not account.drawdown_warned:
        account = replace(account, drawdown_warned=True)
        tripped.append("drawdown_warn")
    return account, tuple(tripped)
