"""The account: money is conserved to the last leg, breakers trip at their threshold, once, and for as long as said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.candles import DAY_MS, Candle
from core.domain.trading import Direction, Follow, GeminiOpinion, ModelOpinion, Opinions, Ruling
from core.engine import fills, trader
from core.engine.filters import Facts
from core.engine.trader import Stance
from tests.core.engine.trades import candidate
from tests.markets import LINK, M15, START, bar

SETTINGS = Settings()
DAY = START // DAY_MS
AGREE = Facts(trends={"5m": 1, "15m": 1, "1h": 1}, btc_correlation=0.5, btc_trend=1)
APPROVES = Opinions(gemini=GeminiOpinion(True, 0.8, "because", (), "test"), gemini_present=True)


def account(**changes: Any) -> Account:
    return replace(Account(10_000.0, (), DAY, 10_000.0, 10_000.0), **changes)


def opened(direction: Direction = Direction.LONG, **stance: Any) -> tuple[Account, Position]:
    one = candidate(LINK, direction)
    facts = replace(AGREE, trends=dict.fromkeys(AGREE.trends, direction.sign), btc_trend=direction.sign)
    decision = trader.decide(one, APPROVES, facts, account(), Stance(**stance), SETTINGS)
    assert decision.taken, decision.refused_by
    return trader.open_position(account(), decision, 1, SETTINGS)


# -- decide ------------------------------------------------------------------------------------------------------------


def test_a_signal_nobody_minds_is_taken_with_every_verdict_kept() -> None:
    decision = trader.decide(candidate(LINK), APPROVES, AGREE, account(), Stance(), SETTINGS)

    assert decision.taken
    assert decision.refused_by is None
    assert decision.risk_amount == 200.0
    assert [v.layer for v in decision.verdicts] == [
        *("signal", "rules", "rules", "gemini", "model", "combined"),
        *("portfolio",) * 10,
        "size",
    ]


def test_a_refused_signal_has_no_size_and_names_the_first_who_refused() -> None:
    refusing = replace(APPROVES, gemini=replace(APPROVES.gemini or GeminiOpinion(False, 0, "", (), ""), approve=False))
    decision = trader.decide(candidate(LINK), refusing, AGREE, account(), Stance(paused="by Ann"), SETTINGS)

    assert not decision.taken
    assert (decision.quantity, decision.risk_amount) == (0.0, 0.0)
    assert decision.refused_by is not None
    assert decision.refused_by.layer == "gemini"


def test_both_rules_against_quarter_the_risk() -> None:
    against = Facts(trends={"1h": -1}, btc_correlation=0.9, btc_trend=-1)
    decision = trader.decide(candidate(LINK), APPROVES, against, account(), Stance(), SETTINGS)

    assert decision.taken
    assert decision.risk_amount == 50.0


@pytest.mark.parametrize(("approved", "outcomes", "weight", "taken"), [(0.0, 500, 0.0, True), (0.5, 500, 0.5, False)])
def test_the_model_counts_only_with_an_approved_weight(
    approved: float, outcomes: int, weight: float, taken: bool
) -> None:
    poor = replace(APPROVES, model=ModelOpinion("m", 0.2, 0.36, 0.1))
    stance = Stance(approved_weight=approved, outcomes=outcomes)
    decision = trader.decide(candidate(LINK), poor, AGREE, account(), stance, SETTINGS)

    assert (decision.influence_weight, decision.taken) == (weight, taken)


@pytest.mark.parametrize(
    ("approved", "outcomes", "rank", "risk"),
    [(0.5, 500, 0.6, 160.0), (0.5, 65, 0.6, 180.0), (0.0, 500, 0.6, 200.0), (0.5, 500, None, 200.0)],
)
def test_the_expected_r_shrinks_the_position_by_the_weight_in_force(
    approved: float, outcomes: int, rank: float | None, risk: float
) -> None:
    sure = replace(APPROVES, model=ModelOpinion("m", 0.6, 0.36, 0.9, size_rank=rank))
    decision = trader.decide(candidate(LINK), sure, AGREE, account(), Stance(approved, outcomes), SETTINGS)

    assert decision.taken, decision.refused_by
    assert decision.risk_amount == pytest.approx(risk)
    assert decision.quantity == pytest.approx(risk / decision.candidate.levels.risk)
    said = [v.sentence for v in decision.verdicts if v.layer == "size"]
    assert said[-1].endswith("rules x 1" if risk == 200 else f"rules x 1, confidence x {risk / 200:g}")
    assert len(said) == (1 if risk == 200 else 2)


def test_a_weight_without_a_model_counts_nothing() -> None:
    decision = trader.decide(candidate(LINK), APPROVES, AGREE, account(), Stance(0.5, 500), SETTINGS)
    assert (decision.influence_weight, decision.combined_confidence) == (0.0, 0.8)


def test_without_layers_every_signal_is_taken_at_the_plain_risk_of_the_start() -> None:
    poor = account(cash=5_000.0, drawdown_paused=True)
    decision = trader.decide(candidate(LINK), Opinions(), Facts(), poor, Stance(layers=False, paused="x"), SETTINGS)

    assert decision.taken
    assert decision.risk_amount == 200.0


# -- money -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", Direction)
def test_the_entry_costs_its_fee_at_once_and_its_slippage_in_open_pnl(direction: Direction) -> None:
    after, position = opened(direction)
    fill = 100.0 * (1 + direction.sign * 0.0005)

    assert position.entry_fill == fill
    assert after.cash == 10_000.0 - fill * position.quantity * 0.0005
    assert after.open_pnl == pytest.approx(-0.05 * position.quantity)


steps = st.lists(st.tuples(st.floats(-0.03, 0.03), st.floats(0, 0.03), st.floats(0, 0.03)), min_size=1, max_size=120)


def path(moves: list[tuple[float, float, float]]) -> list[Candle]:
    """Candles that move by shares of the price, each opening at the close before."""
    candles, price = [], 100.0
    for row, (move, up, down) in enumerate(moves, 1):
        close = price * (1 + move)
        high, low = max(price, close) * (1 + up), min(price, close) * (1 - down)
        candles.append(bar(row, price, high, low, close))
        price = close
    return candles


@given(steps, st.sampled_from(Direction), st.sampled_from(["reference", "pessimistic"]), st.booleans())
def test_whatever_the_candles_money_is_conserved_and_the_net_r_is_the_kernels(
    moves: list[tuple[float, float, float]], direction: Direction, how: str, breakeven: bool
) -> None:
    settings = Settings.model_validate({"fills": how, "strategy": {"breakeven_after_tp1": breakeven}})
    books, position = opened(direction)
    for candle in path(moves):
        follow = trader.advance(position.follow, candle, settings)
        books, position, _ = trader.settle(books, position, follow, settings)
        if follow.closed:
            break
        books = trader.mark(books, position, candle.close)
        position = replace(position, mark=candle.close)
        assert books.positions == (position,)
        assert books.equity == pytest.approx(10_000.0 + position.pnl + position.open_pnl, abs=1e-6)
        assert sum(leg.fraction for leg in position.follow.legs) + position.follow.remaining == pytest.approx(1.0)
    assert books.cash == pytest.approx(10_000.0 + position.pnl, abs=1e-6)
    if position.follow.closed:
        assert books.positions == ()
        assert sum(leg.fraction for leg in position.follow.legs) == pytest.approx(1.0)
        net = fills.net_r(position.follow.levels, position.follow.legs, 0.0005, 0.0005)
        assert position.pnl / position.risk_amount == pytest.approx(net, abs=1e-9)


def test_a_follow_settled_twice_pays_once() -> None:
    books, position = opened()
    follow = trader.advance(position.follow, bar(1, 100.0, 103.5, 100.0, 103.0), SETTINGS)
    books, position, first = trader.settle(books, position, follow, SETTINGS)
    again, same, second = trader.settle(books, position, follow, SETTINGS)

    assert [m.leg.name for m in first] == ["TP1"]
    assert second == ()
    assert (again, same) == (books, position)


def test_a_gap_closes_at_the_last_close_known() -> None:
    books, position = opened()
    ended = trader.end_at_gap(position.follow, 101.0, START)
    books, position, money = trader.settle(books, position, ended, SETTINGS)

    assert [m.leg.name for m in money] == ["GAP"]
    assert books.cash == pytest.approx(10_000.0 + position.pnl)
    assert ended.exit_time == START


# -- breakers ----------------------------------------------------------------------------------------------------------


def rolled(cash: float, day: int = DAY, **changes: Any) -> tuple[Account, tuple[str, ...]]:
    """The account after a close in the middle of a day."""
    return trader.roll(account(cash=cash, **changes), day * DAY_MS + 40 * M15.ms, SETTINGS)


@pytest.mark.parametrize(("cash", "tripped"), [(9_500.01, ()), (9_500.0, ("daily_loss",)), (9_000.0, ("daily_loss",))])
def test_the_daily_loss_trips_at_five_percent(cash: float, tripped: tuple[str, ...]) -> None:
    books, names = rolled(cash)

    assert names == tripped
    assert (books.paused_day == DAY) == bool(tripped)
    assert trader.roll(books, (DAY + 1) * DAY_MS - 1, SETTINGS)[1] == ()


def test_the_daily_loss_ends_at_midnight_and_counts_from_its_equity() -> None:
    books, _ = rolled(9_400.0)
    books, names = trader.roll(books, (DAY + 1) * DAY_MS, SETTINGS)
    worse, again = trader.roll(replace(books, cash=9_400.0 * 0.95), (DAY + 1) * DAY_MS + M15.ms, SETTINGS)

    assert names == ()
    assert (books.day, books.day_start_equity) == (DAY + 1, 9_400.0)
    assert books.paused_day != books.day
    assert again == ("daily_loss",)
    assert worse.paused_day == DAY + 1


def test_a_late_candle_of_yesterday_does_not_bring_yesterday_back() -> None:
    books = account(day=DAY + 1, paused_day=DAY + 1, cash=9_000.0)
    late, names = trader.roll(books, (DAY + 1) * DAY_MS - M15.ms, SETTINGS)

    assert (late.day, late.day_start_equity, late.paused_day) == (DAY + 1, 10_000.0, DAY + 1)
    assert names == ()


@pytest.mark.parametrize(
    ("cash", "tripped"),
    [
        (8_500.01, ()),
        (8_500.0, ("drawdown_warn",)),
        (8_000.01, ("drawdown_warn",)),
        (8_000.0, ("drawdown_pause",)),
        (100.0, ("drawdown_pause",)),
    ],
)
def test_drawdown_warns_at_fifteen_and_pauses_at_twenty_percent(cash: float, tripped: tuple[str, ...]) -> None:
    books, names = rolled(cash, day_start_equity=cash)

    assert names == tripped
    assert books.drawdown_paused == (tripped == ("drawdown_pause",))
    assert trader.roll(books, DAY * DAY_MS + 50 * M15.ms, SETTINGS)[1] == ()


@given(st.sampled_from([0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.45]), st.integers(1, 1_000))
def test_a_drawdown_of_exactly_the_limit_pauses(limit: float, thousands: int) -> None:
    """1 - 8000 / 10000 is a little less than 0.2: floats must not give a loss away."""
    settings = Settings.model_validate({"portfolio": {"drawdown_warn": 0.01, "drawdown_pause": limit}})
    peak = thousands * 1_000.0
    books, _ = trader.roll(account(cash=(1 - limit) * peak, peak_equity=peak), DAY * DAY_MS, settings)

    assert books.drawdown_paused


def test_the_warning_comes_again_only_after_a_new_peak() -> None:
    books, first = rolled(8_400.0, day_start_equity=8_400.0)
    books, between = trader.roll(replace(books, cash=9_900.0), DAY * DAY_MS + 50 * M15.ms, SETTINGS)
    books, peak = trader.roll(replace(books, cash=11_000.0), DAY * DAY_MS + 60 * M15.ms, SETTINGS)
    _, again = trader.roll(replace(books, cash=9_350.0), DAY * DAY_MS + 70 * M15.ms, SETTINGS)

    assert (first, between, peak) == (("drawdown_warn",), (), ())
    assert books.peak_equity == 11_000.0
    assert "drawdown_warn" in again


def test_a_paused_drawdown_stays_paused_when_the_money_comes_back() -> None:
    books, _ = rolled(7_900.0)
    books, _ = trader.roll(replace(books, cash=12_000.0), DAY * DAY_MS + 60 * M15.ms, SETTINGS)
    assert books.drawdown_paused


@given(st.lists(st.floats(1_000, 20_000), min_size=2, max_size=60))
def test_each_breaker_trips_at_most_once_a_day(equities: list[float]) -> None:
    books, seen = account(), list[tuple[int, str]]()
    for number, cash in enumerate(equities, 1):
        books, names = trader.roll(replace(books, cash=cash), START + number * 8 * M15.ms, SETTINGS)
        seen += [(books.day, name) for name in names if name == "daily_loss"]
        assert books.peak_equity == max(10_000.0, *equities[:number])
        assert (books.paused_day == books.day) == ((books.day, "daily_loss") in seen)
    assert len(seen) == len(set(seen))


def test_a_breaker_refuses_the_entries_of_its_own_close() -> None:
    """Exits come first: the candle that lost too much opens nothing any more."""
    books, _ = trader.roll(account(cash=9_400.0), START + M15.ms, SETTINGS)
    decision = trader.decide(candidate(LINK), APPROVES, AGREE, books, Stance(), SETTINGS)

    assert [v.rule for v in decision.verdicts if v.ruling is Ruling.REFUSE] == ["daily_loss"]


def test_a_follow_is_left_as_it_was() -> None:
    one = candidate(LINK)
    begun = Follow(one.levels, START)
    trader.advance(begun, bar(1, 100, 110, 90, 100), SETTINGS)
    assert begun == Follow(one.levels, START)
