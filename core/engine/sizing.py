"""Portfolio limits and position size (the last two layers of docs/strategy.md). Money in USDT, fractions 0..1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.config import Paper, Portfolio
from core.domain.account import Account
from core.domain.candles import DAY_MS, Pair, to_datetime
from core.domain.trading import Candidate, Direction, Ruling, Verdict

SMALLEST_SHARE = 0.1
"""A size that the limits shrink below this share of the intended is refused: a crumb says nothing and takes a slot."""


@dataclass(frozen=True, slots=True)
class Size:
    """``quantity`` in base units, ``risk_amount`` what the stop would cost, ``verdicts`` how it came about."""

    quantity: float
    risk_amount: float
    verdicts: tuple[Verdict, ...]


class Entering(Protocol):
    """Which pair is to be entered on which side: a candidate, or a signal that waited."""

    @property
    def pair(self) -> Pair: ...
    @property
    def direction(self) -> Direction: ...


def portfolio_verdicts(
    candidate: Entering,
    account: Account,
    limits: Portfolio,
    correlations: Mapping[Pair, float | None],
    paused: str,
    enabled: bool,
    at: int,
) -> tuple[Verdict, ...]:
    """Each limit's verdict at the close ``at`` (epoch ms). ``paused``: the reason, empty when running.

    A switch and a pause have no number; every other verdict has.
    """
    open_count = len(account.positions)
    return (
        _limit("switch", not enabled, None, f"{candidate.pair} is switched off", "pair on"),
        _limit("pause", bool(paused), None, f"paused: {paused}", "not paused"),
        _limit(
            "daily_loss",
            account.paused_day == at // DAY_MS,
            account.day_loss,
            f"today's loss reached {limits.daily_loss:.0%}: no entries until 00:00 UTC",
            f"{_change(account.day_loss)} since 00:00 UTC",
        ),
        _limit(
            "drawdown",
            account.drawdown_paused,
            account.drawdown,
            f"drawdown {account.drawdown:.0%}: an approver must /resume",
            f"drawdown {account.drawdown:.1%}",
        ),
        _limit(
            "cooldown",
            at < account.cooldown_until,
            float(account.loss_streak),
            f"a run of losses: no entries until {to_datetime(account.cooldown_until):%H:%M} UTC",
            f"{account.loss_streak} {'loss' if account.loss_streak == 1 else 'losses'} in a row",
        ),
        _limit(
            "one_per_pair",
            account.position(candidate.pair) is not None,
            float(account.position(candidate.pair) is not None),
            f"{candidate.pair} already has a position",
            "no position in the pair",
        ),
        _limit(
            "positions",
            open_count >= limits.max_positions,
            float(open_count),
            f"{open_count} of {limits.max_positions} positions open",
            f"{open_count} of {limits.max_positions} positions open",
        ),
        _correlated_verdict(candidate, account, limits, correlations),
    )


def _limit(rule: str, refuse: bool, number: float | None, bad: str, good: str) -> Verdict:
    return Verdict("portfolio", rule, Ruling.REFUSE if refuse else Ruling.PASS, number, bad if refuse else good)


def _change(loss: float) -> str:
    return f"{-loss:+.1%}" if loss else "no change"


def _correlated_verdict(
    candidate: Entering, account: Account, limits: Portfolio, correlations: Mapping[Pair, float | None]
) -> Verdict:
    """A correlation that nobody knows is said to be unknown, not taken for none."""
    like = _correlated(candidate, account, limits, correlations)
    if len(like) >= limits.max_correlated:
        sentence = f"moves with {', '.join(str(p) for p in like)}"
        return Verdict("portfolio", "correlated", Ruling.REFUSE, float(len(like)), sentence)
    unknown = [str(p.pair) for p in account.positions if correlations.get(p.pair) is None]
    if unknown:
        sentence = f"too few candles to tell whether it moves with {', '.join(unknown)}"
        return Verdict("portfolio", "correlated", Ruling.UNKNOWN, float(len(like)), sentence)
    return Verdict("portfolio", "correlated", Ruling.PASS, float(len(like)), f"{len(like)} correlated positions")


def _correlated(
    candidate: Entering, account: Account, limits: Portfolio, correlations: Mapping[Pair, float | None]
) -> list[Pair]:
    """Open positions that win and lose with the candidate: direction x direction x correlation above the limit."""
    found = []
    for position in account.positions:
        both = correlations.get(position.pair)
        if both is not None and candidate.direction.sign * position.direction.sign * both > limits.correlation:
            found.append(position.pair)
    return found


def rule_factor(verdicts: Sequence[Verdict]) -> float:
    """Half for each rule that says half: two doubts quarter the size."""
    return 0.5 ** sum(v.ruling is Ruling.HALF for v in verdicts)


LEAST_RANK = 0.25
"""A rank below counts as this: the model alone never takes more than three quarters of a size away."""


def confidence_factor(size_rank: float | None, weight: float) -> float:
    """What the model's expected R does to the size: ``1 - w * (1 - clip(q, 0.25, 1))``.

    ``size_rank`` q is the rank (0..1) of the expected R, None where the size model has no say; ``weight`` is the
    effective influence weight. Never above 1: the model can only make a position smaller.
    """
    if size_rank is None:
        return 1.0
    return 1 - weight * (1 - min(1.0, max(LEAST_RANK, size_rank)))


def confidence_verdict(size_rank: float | None, weight: float) -> tuple[Verdict, ...]:
    """The factor in words, where there is a rank and a weight that lets it count; else nothing."""
    if size_rank is None or weight <= 0:
        return ()
    factor = confidence_factor(size_rank, weight)
    sentence = f"expected R ranks at {size_rank:.0%}; with weight {weight:.2f}: size x {factor:.2f}"
    return (Verdict("size", "confidence", Ruling.RECORD, factor, sentence),)


def size_of(
    candidate: Candidate,
    account: Account,
    paper: Paper,
    limits: Portfolio,
    pair_risk: float,
    factor: float,
    confidence_factor: float = 1.0,
) -> Size:
    """risk = equity x risk per trade x pair x rules x confidence, over the stop distance, shrunk by the limits."""
    equity = account.equity
    wanted = max(0.0, equity * paper.risk_per_trade * pair_risk * factor * confidence_factor)
    room_risk = max(0.0, limits.max_open_risk * equity - sum(p.open_risk for p in account.positions))
    room_notional = max(0.0, paper.max_leverage * equity - sum(p.notional for p in account.positions))
    by_notional = room_notional / candidate.levels.entry * candidate.levels.risk
    risk = min(wanted, room_risk, by_notional)
    verdicts = (
        _room("open_risk", wanted, room_risk, f"open risk is limited to {limits.max_open_risk:.0%} of equity"),
        _room("leverage", wanted, by_notional, f"gross notional is limited to {paper.max_leverage:g} x equity"),
        Verdict(
            "size",
            "risk",
            Ruling.RECORD,
            risk,
            f"risk {risk:.2f} USDT of {wanted:.2f} wanted, {_factors(factor, confidence_factor)}",
        ),
    )
    return Size(risk / candidate.levels.risk if risk > 0 else 0.0, risk, verdicts)


def _factors(rules: float, confidence: float) -> str:
    return f"rules x {rules:g}" + (f", confidence x {confidence:.3g}" if confidence != 1 else "")


def _room(rule: str, wanted: float, room: float, sentence: str) -> Verdict:
    if room >= wanted and wanted > 0:
        return Verdict("portfolio", rule, Ruling.PASS, room, f"{sentence}: room for {room:,.2f} USDT at risk")
    if room < SMALLEST_SHARE * wanted or wanted <= 0:
        return Verdict("portfolio", rule, Ruling.REFUSE, room, f"{sentence}: no room left")
    return Verdict("portfolio", rule, Ruling.RECORD, room, f"{sentence}: size cut to {room:.2f} USDT at risk")
