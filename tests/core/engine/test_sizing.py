"""Portfolio limits at, under and over their thresholds; the size that is left is never more than they allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Paper, Portfolio
from core.domain.account import Account, Position
from core.domain.candles import DAY_MS, HOUR_MS, Pair
from core.domain.trading import Candidate, Direction, Ruling, Verdict
from core.engine import fills
from core.engine.sizing import (
    Size,
    confidence_factor,
    confidence_verdict,
    portfolio_verdicts,
    rule_factor,
    size_of,
)
from core.engine.strategy import levels
from tests.core.engine.trades import candidate
from tests.markets import LINK, START

NAMES = ("ETH", "SOL", "AVAX", "POL", "XRP", "ADA")
PAPER, LIMITS = Paper(), Portfolio()


def position(
    name: str, direction: Direction = Direction.LONG, risk: float = 100.0, notional: float = 1000.0
) -> Position:
    """Open at 100 with its mark there: worth nothing yet."""
    follow = fills.begin(levels(direction, 100.0, 1.0), START)
    return Position(7, Pair.parse(name), direction, notional / 100.0, 100.0, risk, follow, 100.0)


def account(*positions: Position, **changes: Any) -> Account:
    return replace(Account(10_000.0, positions, 5, 10_000.0, 10_000.0), **changes)


def refusals(
    candidate: Candidate,
    account: Account,
    correlations: dict[Pair, float | None] | None = None,
    paused: str = "",
    enabled: bool = True,
    day: int = 5,
    limits: Portfolio = LIMITS,
) -> list[str]:
    found = portfolio_verdicts(candidate, account, limits, correlations or {}, paused, enabled, day * DAY_MS + HOUR_MS)
    assert [v.rule for v in found] == [
        *("switch", "pause", "daily_loss", "drawdown", "cooldown", "one_per_pair", "positions", "correlated")
    ]
    return [v.rule for v in found if v.ruling is Ruling.REFUSE]


def sized(
    account: Account, pair_risk: float = 1.0, factor: float = 1.0, of: Candidate | None = None, **more: Any
) -> Size:
    return size_of(of or candidate(LINK), account, PAPER, more.pop("limits", LIMITS), pair_risk, factor, **more)


def ruling(size: Size, rule: str) -> Ruling:
    return next(v.ruling for v in size.verdicts if v.rule == rule)


def test_nothing_open_and_nobody_against_it_refuses_nothing() -> None:
    assert refusals(candidate(LINK), account()) == []


def test_switch_pause_and_breakers_refuse_each_by_itself() -> None:
    assert refusals(candidate(LINK), account(), enabled=False) == ["switch"]
    assert refusals(candidate(LINK), account(), paused="by Ann") == ["pause"]
    assert refusals(candidate(LINK), account(drawdown_paused=True)) == ["drawdown"]
    assert refusals(candidate(LINK), account(paused_day=5)) == ["daily_loss"]
    assert refusals(candidate(LINK), account(paused_day=5), day=6) == []


@pytest.mark.parametrize(("held", "refused"), [(2, []), (3, ["positions"]), (4, ["positions"])])
def test_at_most_three_positions(held: int, refused: list[str]) -> None:
    assert refusals(candidate(LINK), account(*(position(n) for n in NAMES[:held]))) == refused


def test_one_position_per_pair() -> None:
    assert refusals(candidate(LINK), account(position("LINK"))) == ["one_per_pair"]


@pytest.mark.parametrize(
    ("both", "held", "refused"),
    [
        (0.71, Direction.LONG, ["correlated"]),
        (0.70, Direction.LONG, []),
        (0.71, Direction.SHORT, []),
        (-0.71, Direction.SHORT, ["correlated"]),
        (-0.71, Direction.LONG, []),
        (None, Direction.LONG, []),
    ],
)
def test_at_most_two_that_win_and_lose_together(both: float | None, held: Direction, refused: list[str]) -> None:
    two = (position("ETH", held), position("SOL", held))
    moving: dict[Pair, float | None] = {p.pair: both for p in two}

    assert refusals(candidate(LINK), account(*two), moving) == refused
    assert refusals(candidate(LINK), account(two[0]), moving) == []
    assert (
        refusals(candidate(LINK, Direction.SHORT), account(*two), {p: b and -b for p, b in moving.items()}) == refused
    )


def test_a_correlation_nobody_knows_is_said_to_be_unknown_and_passes() -> None:
    two = (position("ETH"), position("SOL"))
    known: dict[Pair, float | None] = {two[0].pair: 0.1, two[1].pair: None}

    found = portfolio_verdicts(candidate(LINK), account(*two), LIMITS, known, "", True, 0)

    (verdict,) = [v for v in found if v.rule == "correlated"]
    assert verdict.ruling is Ruling.UNKNOWN
    assert verdict.sentence == "too few candles to tell whether it moves with SOL/USDT"


def test_the_plain_size_is_two_percent_of_equity_over_the_stop() -> None:
    size = sized(account())

    assert size.risk_amount == 200.0
    assert size.quantity == pytest.approx(200.0 / candidate(LINK).levels.risk)
    assert [v.ruling for v in size.verdicts] == [Ruling.PASS, Ruling.PASS, Ruling.RECORD]


def test_the_size_follows_equity_not_cash() -> None:
    losing = replace(position("ETH", notional=10_000.0), mark=80.0)
    assert sized(account(losing, positions=(losing,))).risk_amount == pytest.approx(0.02 * 8_000.0)


@pytest.mark.parametrize(
    ("pair_risk", "factor", "confidence", "risk"),
    [
        (0.7, 1.0, 1.0, 140.0),
        (1.0, 0.5, 1.0, 100.0),
        (0.8, 0.25, 1.0, 40.0),
        (1.0, 1.0, 0.25, 50.0),
        (2.0, 1.0, 1.0, 400.0),
    ],
)
def test_multipliers_multiply(pair_risk: float, factor: float, confidence: float, risk: float) -> None:
    assert sized(account(), pair_risk, factor, confidence_factor=confidence).risk_amount == pytest.approx(risk)


@pytest.mark.parametrize(
    ("rank", "weight", "factor"),
    [
        (None, 0.75, 1.0),  # the size model has no say
        (0.1, 0.0, 1.0),  # nobody has approved a weight
        (1.0, 0.75, 1.0),
        (0.6, 0.5, 0.8),
        (0.25, 0.5, 0.625),
        (0.0, 0.5, 0.625),  # a rank below a quarter counts as a quarter
        (0.0, 1.0, 0.25),
    ],
)
def test_the_expected_r_makes_a_size_smaller_by_its_rank_and_the_weight(
    rank: float | None, weight: float, factor: float
) -> None:
    assert confidence_factor(rank, weight) == pytest.approx(factor)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_model_never_makes_a_size_larger_nor_takes_more_than_three_quarters(rank: float, weight: float) -> None:
    assert 0.25 <= confidence_factor(rank, weight) <= 1
    assert confidence_factor(rank, weight) <= confidence_factor(min(1.0, rank + 0.1), weight)


def test_the_factor_is_said_where_it_counts_and_only_there() -> None:
    (verdict,) = confidence_verdict(0.6, 0.5)

    assert (verdict.layer, verdict.rule, verdict.ruling) == ("size", "confidence", Ruling.RECORD)
    assert verdict.sentence == "expected R ranks at 60%; with weight 0.50: size x 0.80"
    assert confidence_verdict(None, 0.5) == confidence_verdict(0.6, 0.0) == ()


@pytest.mark.parametrize(
    ("rulings", "factor"),
    [
        ((), 1.0),
        ((Ruling.PASS, Ruling.RECORD, Ruling.UNKNOWN, Ruling.ABSENT), 1.0),
        ((Ruling.HALF, Ruling.PASS), 0.5),
        ((Ruling.HALF, Ruling.HALF), 0.25),
    ],
)
def test_each_rule_that_says_half_halves(rulings: tuple[Ruling, ...], factor: float) -> None:
    assert rule_factor([Verdict("rules", str(n), r, None, "") for n, r in enumerate(rulings)]) == factor


@pytest.mark.parametrize(
    ("open_risk", "risk", "verdict"),
    [
        (200.0, 200.0, Ruling.PASS),  # exactly the room that is wanted
        (200.5, 199.5, Ruling.RECORD),
        (380.0, 20.0, Ruling.RECORD),  # exactly a tenth of it
        (380.5, 19.5, Ruling.REFUSE),
        (400.0, 0.0, Ruling.REFUSE),
        (450.0, 0.0, Ruling.REFUSE),
    ],
)
def test_open_risk_shrinks_the_size_to_four_percent(open_risk: float, risk: float, verdict: Ruling) -> None:
    size = sized(account(position("ETH", risk=open_risk)))

    assert ruling(size, "open_risk") is verdict
    assert size.risk_amount == pytest.approx(risk)


def test_what_has_been_closed_of_a_position_is_no_longer_at_risk() -> None:
    held = position("ETH", risk=400.0)
    held = replace(held, follow=replace(held.follow, remaining=0.5, targets_hit=1))
    assert sized(account(held)).risk_amount == 200.0


@pytest.mark.parametrize(
    ("notional", "verdict", "left"),
    [
        (20_000.0, Ruling.PASS, 10_000.0),
        (20_001.0, Ruling.RECORD, 9_999.0),
        (29_950.0, Ruling.REFUSE, 50.0),
        (30_000.0, Ruling.REFUSE, 0.0),
    ],
)
def test_gross_notional_is_at_most_three_times_equity(notional: float, verdict: Ruling, left: float) -> None:
    """The stop lies 2% away, so the plain size is worth 10,000."""
    one = candidate(LINK, atr=1.0)
    size = sized(account(position("ETH", risk=1.0, notional=notional)), of=one)

    assert ruling(size, "leverage") is verdict
    assert size.quantity * one.levels.entry == pytest.approx(left)


@pytest.mark.parametrize("cash", [0.0, -500.0])
def test_an_account_without_equity_opens_nothing(cash: float) -> None:
    size = sized(account(cash=cash))

    assert (size.quantity, size.risk_amount) == (0.0, 0.0)
    assert ruling(size, "open_risk") is Ruling.REFUSE


money = st.floats(0, 1e6, allow_nan=False)


@given(
    st.floats(-1e4, 1e6),
    st.lists(st.tuples(money, money, st.floats(1, 500), st.sampled_from(Direction)), max_size=5),
    st.floats(0.01, 2),
    st.sampled_from([1.0, 0.5, 0.25]),
    st.floats(0.01, 49),
    st.sampled_from(Direction),
)
def test_risk_never_exceeds_what_is_wanted_nor_any_room(
    cash: float,
    held: list[tuple[float, float, float, Direction]],
    pair_risk: float,
    factor: float,
    atr: float,
    direction: Direction,
) -> None:
    open_now = tuple(
        replace(position(NAMES[n], way, risk, notional), mark=mark)
        for n, (risk, notional, mark, way) in enumerate(held)
    )
    books = account(*open_now, cash=cash)
    one = candidate(LINK, direction, atr=atr)
    size = sized(books, pair_risk, factor, of=one)
    equity = books.equity

    assert 0 <= size.risk_amount <= max(0.0, equity) * 0.02 * pair_risk * factor * (1 + 1e-12)
    assert size.quantity * one.levels.risk == pytest.approx(size.risk_amount)
    if size.risk_amount:
        assert size.risk_amount + sum(p.open_risk for p in open_now) <= 0.04 * equity * (1 + 1e-9)
        assert size.quantity * one.levels.entry + sum(p.notional for p in open_now) <= 3 * equity * (1 + 1e-9)
    else:
        assert Ruling.REFUSE in {v.ruling for v in size.verdicts}
