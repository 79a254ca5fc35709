"""What was made, what is at risk, how the market stands, what the model would say: on a real ledger, by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.account import Account, Position
from core.domain.candles import DAY_MS, Pair, Timeframe, to_datetime, to_ms
from core.domain.ledger import Effect, FollowRecord
from core.domain.trading import Direction, ExitReason, FollowKind, Reason
from core.engine import fills
from core.engine.filters import resample_closes, trend
from core.engine.history import History
from core.engine.indicators import indicators
from core.engine.strategy import crossings, levels
from core.errors import UsageError
from core.ml.features import features_of
from core.ml.prediction import BASE
from core.ml.surroundings import scene_of
from core.ports import Prediction
from core.services.exposure import next_pause, risk_of
from core.services.market_board import NEAR, market_line, next_cross
from core.services.profit import calendar_of, day_start, profit_of, span, sums, thinned
from tests.ledgers import books, market, settings
from tests.lived import signal
from tests.markets import M15, START, walk
from tests.offices import ANN, FIRST, LAST, LINK, office

AUCKLAND, BERLIN, UTC_ZONE = ZoneInfo("Pacific/Auckland"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
PNG = b"\x89PNG\r\n\x1a\n"


def trade(
    number: int, ended: datetime, pnl: float, gross_r: float, risk: float = 100.0, pair: str = "LINK"
) -> FollowRecord:
    """A closed trade whose end was known at ``ended``."""
    record = signal(number, gross_r)[1]
    exit_time = to_ms(ended) - M15.ms
    follow = replace(record.follow, exit_time=exit_time, exit_reason=ExitReason.STOP_LOSS)
    return replace(
        record, follow_id=number, kind=FollowKind.TRADE, pair=Pair.parse(pair), follow=follow, quantity=risk / 2.0,
        risk_amount=risk, pnl=pnl, r_net=pnl / risk, last_time=exit_time,
    )  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# -- days --


def test_a_day_is_the_persons_own() -> None:
    """Auckland is 13 hours ahead in January: its day ends at 11:00 UTC."""
    conf, now = settings(), at("2024-01-05T02:00")
    before, after = trade(1, at("2024-01-04T11:00"), 50.0, 0.6), trade(2, at("2024-01-04T11:00:01"), -20.0, -0.1)

    there = calendar_of([before, after], None, now, AUCKLAND, conf)
    assert [(d.day, d.pnl, d.trades) for d in there.days] == [(date(2024, 1, 4), 50.0, 1), (date(2024, 1, 5), -20.0, 1)]
    here = calendar_of([before, after], None, now, UTC_ZONE, conf)
    assert [(d.day, d.pnl, d.trades) for d in here.days] == [(date(2024, 1, 4), 30.0, 2)]

    today = profit_of([before, after], [], 1, now, AUCKLAND, conf)
    assert (today.since, today.until, today.trades, today.net.pnl) == (date(2024, 1, 5), date(2024, 1, 5), 1, -20.0)
    assert profit_of([before, after], [], 1, now, UTC_ZONE, conf).trades == 0  # the 5th of January, in UTC
    assert profit_of([before, after], [], 2, now, UTC_ZONE, conf).trades == 2


def test_the_last_days_begin_at_midnight_of_the_first_and_today_is_one_of_them() -> None:
    conf, now = settings(), at("2024-03-10T12:00")
    edge = [trade(1, at("2024-03-03T23:00"), 1.0, 0.1), trade(2, at("2024-03-03T23:15"), 2.0, 0.1)]
    week = profit_of(edge, [], 7, now, BERLIN, conf)
    assert (week.since, week.until) == (date(2024, 3, 4), date(2024, 3, 10))
    assert [week.trades, week.net.pnl] == [1, 2.0]  # 23:00 UTC is midnight in Berlin


def test_what_a_day_made_and_what_its_equity_moved_agree_at_midnight() -> None:
    """The candle that closes at midnight was the old day's: so is the trade that it ended, as its equity is."""
    conf, midnight = settings(), at("2024-01-10T00:00")
    curve = [(to_ms(at("2024-01-09T00:00")), 10_000.0), (to_ms(midnight), 9_900.0)]
    ended = [trade(1, midnight, -100.0, -0.9)]
    today = profit_of(ended, curve, 1, at("2024-01-10T12:00"), UTC_ZONE, conf)
    assert (today.trades, today.net.pnl, today.change, today.equity) == (0, 0.0, 0.0, 9_900.0)
    both = profit_of(ended, curve, 2, at("2024-01-10T12:00"), UTC_ZONE, conf)
    assert (both.trades, both.net.pnl, both.change) == (1, -100.0, -100.0)
    [day] = calendar_of(ended, None, at("2024-01-10T12:00"), UTC_ZONE, conf).days
    assert day.day == date(2024, 1, 9)


def test_a_day_whose_midnight_the_clocks_skip_begins_when_they_go_on() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    assert to_datetime(day_start(date(2018, 11, 4), sao_paulo)) == at("2018-11-04T03:00")
    assert to_datetime(day_start(date(2024, 10, 27), BERLIN)) == at("2024-10-26T22:00")
    assert to_datetime(day_start(date(2024, 10, 28), BERLIN)) == at("2024-10-27T23:00")  # a day of 25 hours


def test_a_calendar_pages_from_the_first_trade_to_this_month() -> None:
    conf, now = settings(), at("2024-03-10T12:00")
    trades = [trade(1, at("2023-12-31T23:30"), 5.0, 0.1), trade(2, at("2024-02-01T00:15"), 7.0, 0.1)]
    shown = calendar_of(trades, None, now, UTC_ZONE, conf)
    assert (shown.month, shown.days, shown.before, shown.after) == (date(2024, 3, 1), (), "2024-02", None)
    december = calendar_of(trades, date(2023, 12, 9), now, UTC_ZONE, conf)
    assert (december.month, december.before, december.after) == (date(2023, 12, 1), None, "2024-01")
    assert (december.pnl, december.trades) == (5.0, 1)
    assert calendar_of(trades, date(2023, 12, 9), now, BERLIN, conf).days == ()  # there it was January already
    assert calendar_of([], None, now, UTC_ZONE, conf).before is None


# -- what was made --


def test_the_figures_of_three_trades_worked_out_by_hand() -> None:
    conf, now = settings(), at("2024-01-20T12:00")
    trades = [
        trade(3, at("2024-01-18T10:00"), 150.0, 1.6, risk=100.0, pair="ETH"),
        trade(2, at("2024-01-17T10:00"), -60.0, -1.0, risk=50.0),
        trade(1, at("2024-01-16T10:00"), -15.0, 0.1, risk=100.0),
        trade(9, at("2023-01-16T10:00"), 999.0, 9.9),  # a year ago
    ]
    found = profit_of(trades, [], 30, now, UTC_ZONE, conf)

    assert found.trades == 3
    assert (found.net.pnl, found.net.wins) == (75.0, 1)
    assert found.net.factor == 150.0 / 75.0
    assert found.net.each == 25.0
    assert found.net.r_each == pytest.approx((1.5 - 1.2 - 0.15) / 3)
    assert (found.gross.pnl, found.gross.wins) == (160.0 - 50.0 + 10.0, 2)
    assert found.gross.factor == 170.0 / 50.0
    assert found.costs == 120.0 - 75.0
    assert found.best is not None
    assert found.worst is not None
    assert (found.best.trade_id, found.worst.trade_id) == (3, 2)
    assert [(p.pair, p.trades, p.wins, p.pnl) for p in found.pairs] == [
        ("ETH/USDT", 1, 1, 150.0),
        ("LINK/USDT", 2, 0, -75.0),
    ]
    assert found.pairs[1].r == pytest.approx(-1.35)
    assert profit_of(trades, [], None, now, UTC_ZONE, conf).since == date(2023, 1, 16)


def test_gross_counts_from_the_price_that_a_late_yes_has_paid() -> None:
    """Planned at 100 with the stop at 98; bought at 101 half an R later, and stopped: 3 a piece are lost, not 2."""
    conf, now = settings(), at("2024-01-20T12:00")
    planned = trade(1, at("2024-01-18T10:00"), 0.0, -1.0)
    fill = 101.0 * (1 + conf.paper.slippage_rate)
    risk = 40.0 * (fill - 98.0)
    bought = replace(planned, quantity=40.0, entry_fill=fill, risk_amount=risk, pnl=-130.0, r_net=-130.0 / risk)
    found = profit_of([bought], [], 30, now, UTC_ZONE, conf)
    assert found.gross.pnl == pytest.approx(40.0 * (98.0 - 101.0))
    assert found.costs == pytest.approx(130.0 - 120.0)
    assert found.gross.r_each == pytest.approx(-120.0 / risk)


def test_what_made_nothing_has_not_won() -> None:
    assert sums([0.0, 5.0, -5.0], [0.0, 0.5, -0.5]).wins == 1


def test_the_fall_within_a_time_begins_at_what_the_account_stood_at() -> None:
    conf, now, day = settings(), at("2024-01-10T12:00"), to_ms(at("2024-01-10T00:00"))
    curve = [(day - DAY_MS, 12_000.0), (day - 1, 10_000.0), (day + 1, 10_500.0), (day + 2, 9_450.0), (day + 3, 9_900.0)]
    found = profit_of([], curve, 1, now, UTC_ZONE, conf)
    assert (found.equity, found.change) == (9_900.0, -100.0)
    assert found.drawdown is not None
    assert found.drawdown.depth == 1_050.0
    assert found.drawdown.share == pytest.approx(0.1)
    whole = profit_of([], curve, None, now, UTC_ZONE, conf)
    assert whole.drawdown is not None
    assert whole.drawdown.share == pytest.approx(1 - 9_450 / 12_000)  # yesterday's high counts there


def test_before_the_first_close_the_account_stands_where_it_began() -> None:
    conf, now = settings(), at("2024-01-10T12:00")
    found = profit_of([], [], 30, now, UTC_ZONE, conf)
    assert (found.trades, found.equity, found.change, found.drawdown) == (0, 10_000.0, 0.0, None)
    assert (found.net.factor, found.net.each, found.best, found.pairs) == (None, None, None, ())
    assert span([(100, 9_000.0)], 50, 10_000.0) == [(99, 10_000.0), (100, 9_000.0)]


@given(values=st.lists(st.floats(1, 1e6), min_size=1, max_size=300), most=st.integers(4, 60))
def test_no_high_and_no_low_is_lost_in_a_picture(values: list[float], most: int) -> None:
    points = list(enumerate(values))
    kept = thinned(points, most)
    assert len(kept) <= most + 4
    assert kept == sorted(set(kept))
    assert set(kept) <= set(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert {min(values), max(values)} <= {value for _, value in kept}


@pytest.mark.parametrize("peak", [-5.0, 5.0])
def test_a_single_close_that_fell_or_rose_is_seen_in_a_year_of_them(peak: float) -> None:
    points = [(n, peak if n == 20_003 else 0.0) for n in range(35_000)]
    assert (20_003, peak) in thinned(points)


async def test_profit_is_what_the_trade_records_and_the_account_say(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        desk = (await there.played()).desk
        records, totals = await there.kept.ledger.closed_trades(), await there.kept.ledger.trade_totals()
        assert len(records) >= 5

        found = await desk.topics.money.profit(None, AUCKLAND)
        assert found.trades == totals.count == len(records)
        assert found.net.wins == totals.wins
        assert found.net.pnl == pytest.approx(totals.gains - totals.losses, abs=1e-9)
        assert found.net.pnl == pytest.approx(sum(r.pnl for r in records), abs=1e-9)
        assert found.gross.pnl - found.costs == pytest.approx(found.net.pnl)
        account = there.stage.loop.account
        booked = sum(p.pnl for p in account.positions)  # of what is still open
        assert found.net.pnl + booked == pytest.approx(account.cash - 10_000)
        assert found.equity == pytest.approx(account.equity)
        assert (found.open_trades, found.open_pnl) == (len(account.positions), account.open_pnl)
        assert sum(p.pnl for p in found.pairs) == pytest.approx(found.net.pnl)
        assert found.picture is not None
        assert found.picture.startswith(PNG)


async def test_the_costs_are_the_fees_and_the_slippage_of_every_leg(tmp_path: Path) -> None:
    """Worked out from the legs: a fee on the entry and on each exit, and half a tenth of a percent on every price."""
    async with office(tmp_path) as there:
        await there.played()
        money, paper = there.desk.topics.money, settings().paper
        costs = 0.0
        for record in await there.kept.ledger.closed_trades():
            entry, quantity, sign = record.follow.levels.entry, record.quantity, record.follow.levels.direction.sign
            costs += entry * paper.slippage_rate * quantity + record.entry_fill * quantity * paper.fee_rate
            for leg in record.follow.legs:
                fill = leg.price * (1 - sign * paper.slippage_rate)
                costs += quantity * leg.fraction * (leg.price * paper.slippage_rate + fill * paper.fee_rate)
        assert (await money.profit(None, UTC_ZONE)).costs == pytest.approx(costs)


async def test_all_months_of_a_calendar_together_are_all_that_was_made(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        money = (await there.played()).desk.topics.money
        view = await money.calendar(None, AUCKLAND)
        assert view.picture is not None
        assert view.picture.startswith(PNG)
        made = view.pnl
        while view.before is not None:
            view = await money.calendar(date.fromisoformat(f"{view.before}-15"), AUCKLAND)
            made += view.pnl
        assert made == pytest.approx((await money.profit(None, AUCKLAND)).net.pnl)
        with pytest.raises(UsageError, match="February 2124 has not begun"):
            await money.calendar(date(2124, 2, 1), UTC_ZONE)


async def test_an_account_of_this_minute_has_pictures_too(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        money = there.desk.topics.money
        found, month = await money.profit(30, UTC_ZONE), await money.calendar(None, UTC_ZONE)
        assert (found.trades, found.equity) == (0, 10_000.0)
        assert found.picture is not None
        assert month.picture is not None
        assert (found.picture[:8], month.picture[:8]) == (PNG, PNG)


# -- signals --


async def test_the_last_signals_come_newest_first_with_what_became_of_each(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        money = (await there.played()).desk.topics.money
        every = {row.decision.decision_id: row for row in await there.kept.ledger.trade_rows(signals_only=True)}
        newest = sorted(every, reverse=True)

        found = await money.signals(5)
        assert [v.decision_id for v in found] == newest[:5]
        assert [v.decision_id for v in await money.signals(10_000)] == newest
        for view in found:
            record = every[view.decision_id].follow
            assert view.became.closed == record.follow.closed
            assert view.became.is_trade == (record.kind is FollowKind.TRADE)
            if record.follow.closed:
                assert (view.became.r, view.became.r_net) == (record.follow.realized_r, record.r_net)


async def test_there_are_no_signals_in_an_empty_ledger(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        assert await kept.ledger.newest_signals(10) == []
        row = signal(4)
        await kept.ledger.commit(Effect("entries", {LINK: 1}, decisions=(row[0],), follows=(row[1],)))
        assert [r.decision.decision_id for r in await kept.ledger.newest_signals(10)] == [4]


# -- market --


async def test_the_market_is_as_the_last_close_left_it(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        view = await (await there.played()).desk.topics.money.market()
        candles = market(LAST)
        assert [line.pair for line in view.lines] == ["LINK/USDT", "ETH/USDT", "SOL/USDT"]
        for line in view.lines:
            own = candles[Pair.parse(line.pair)]
            ind = indicators(own.between(int(there.stage.loop.memory.windows[own.pair].time[0]), None))
            assert line.close == own.close[-1]
            assert line.at == to_datetime(int(own.time[-1]) + M15.ms)
            assert line.change == pytest.approx(own.close[-1] / own.close[-97] - 1)
            assert line.adx == pytest.approx(ind.adx[-1])
            assert line.rsi == pytest.approx(ind.rsi[-1])
            assert line.hurst == pytest.approx(ind.hurst[-1])
            assert line.volume_ratio == pytest.approx(ind.volume_ratio[-1])
            assert line.regime is ind.regimes()[-1]
            fast, slow = own.close[-15:].mean(), own.close[-40:].mean()
            assert line.distance == pytest.approx((fast - slow) / slow * 100)
            assert line.live is None
        btc = candles[Pair.parse("BTC/USDT")]
        assert view.btc_trend == trend(resample_closes(btc, Timeframe.parse("1h")))
        assert view.btc_change == pytest.approx(btc.close[-1] / btc.close[-97] - 1)


async def test_a_pair_without_candles_is_a_line_of_its_own() -> None:
    line = market_line(LINK, False, None, None)
    assert (line.pair, line.enabled, line.close, line.adx, line.cross) == ("LINK/USDT", False, None, None, None)


def test_a_change_over_a_day_needs_the_candle_of_a_day_before() -> None:
    def change(rows: int, gaps: dict[int, int] | None = None) -> float | None:
        return market_line(LINK, True, History(walk(rows, gaps=gaps), 500, 8), None).change

    assert change(96) is None
    assert change(97) == pytest.approx(walk(97).close[-1] / walk(97).close[0] - 1)
    assert change(120, {100: 1}) is not None
    assert change(98, {2: 2}) is None  # that candle is one of those missing


@given(seed=st.integers(0, 400), rows=st.integers(60, 160))
def test_a_crossing_is_shown_where_the_strategy_finds_one(seed: int, rows: int) -> None:
    candles = walk(rows, seed)
    sign = int(crossings(indicators(candles))[-1])
    found = next_cross(candles)
    if sign:
        assert found is not None
        assert (found.direction.sign, found.candles) == (sign, 0)
    else:
        assert found is None or 1 <= found.candles <= NEAR


def test_averages_that_meet_at_a_steady_pace_cross_when_it_is_said() -> None:
    """A price that turned: the hint counts down to the candle at which the strategy sees the crossing."""
    steps = np.concatenate([np.full(60, -0.2), np.full(60, 0.3)])
    close = 100 + np.cumsum(steps)
    candles = replace(walk(120), open=close, high=close + 0.1, low=close - 0.1, close=close)
    row = int(np.flatnonzero(crossings(indicators(candles)))[-1])
    hints = [next_cross(candles.rows(0, row + 1 - n)) for n in range(9)]
    said = [h.candles for h in hints if h is not None]
    assert said[:5] == [0, 1, 2, 3, 4]
    assert said == sorted(said)
    assert {h.direction for h in hints if h is not None} == {Direction.LONG}


# -- risk --


def position(name: str, direction: Direction = Direction.LONG, mark: float = 100.0, remaining: float = 1.0) -> Position:
    """Ten of it entered at 100 with the stop 2 away: 20 USDT at risk."""
    follow = replace(fills.begin(levels(direction, 100.0, 1.0), START), remaining=remaining)
    return Position(1, Pair.parse(name), direction, 10.0, 100.0, 20.0, follow, mark)


def test_risk_is_held_against_every_limit() -> None:
    account = Account(
        cash=9_000.0, positions=(position("LINK", mark=101.0), position("ETH", Direction.SHORT, remaining=0.5)),
        day=1, day_start_equity=9_400.0, peak_equity=10_000.0, loss_streak=2,
    )  # fmt: skip
    view = risk_of(account, settings(), {}, "")

    assert view.equity == 9_010.0  # cash and the 10 that LINK is up
    assert view.open_risk == 30.0
    assert view.open_risk_limit == pytest.approx(0.04 * 9_010)
    assert (view.notional, view.notional_limit) == (1_010.0 + 500.0, 27_030.0)
    assert (view.positions, view.max_positions, view.max_correlated) == (2, 3, 2)
    assert view.day_loss == pytest.approx(390 / 9_400)
    assert view.drawdown == pytest.approx(0.099)
    assert view.stops == pytest.approx(30.0 + 10.0)  # LINK from 101 to 98 on ten, ETH from 100 to 102 on five
    assert view.next_pause is not None
    assert view.next_pause.limit == "daily loss"
    assert view.next_pause.loss == pytest.approx(9_010 - 0.95 * 9_400)
    assert (view.groups, set(view.unknown)) == ((), {"LINK/USDT", "ETH/USDT"})
    assert risk_of(account, settings(), {}, "by hand").next_pause is None


@pytest.mark.parametrize(("moves", "targets", "lost"), [(False, 1, 15.0), (True, 0, 15.0), (True, 1, 5.0)])
def test_a_stop_that_tp1_has_moved_costs_what_is_between_the_price_and_the_entry(
    moves: bool, targets: int, lost: float
) -> None:
    held = position("LINK", mark=101.0, remaining=0.5)
    held = replace(held, follow=replace(held.follow, targets_hit=targets))
    account = Account(cash=10_000.0, positions=(held,), day=1, day_start_equity=10_000.0, peak_equity=10_000.0)
    strategy = settings().strategy.model_copy(update={"breakeven_after_tp1": moves})
    conf = settings().model_copy(update={"strategy": strategy})
    assert risk_of(account, conf, {}, "").stops == pytest.approx(lost)


@pytest.mark.parametrize(
    ("account", "limit", "loss"),
    [
        (Account(cash=8_100.0, day_start_equity=8_000.0, peak_equity=10_000.0), "drawdown", 100.0),
        (Account(cash=8_100.0, day_start_equity=8_500.0, peak_equity=10_000.0), "daily loss", 25.0),
        (Account(cash=7_000.0, day_start_equity=8_500.0, peak_equity=10_000.0), "daily loss", 0.0),
    ],
)
def test_the_limit_nearest_in_money_pauses_next(account: Account, limit: str, loss: float) -> None:
    found = next_pause(account, settings())
    assert found.limit == limit
    assert found.loss == pytest.approx(loss)


def test_one_losing_trade_away_from_a_run_of_losses_that_comes_first() -> None:
    conf = settings(portfolio={"loss_streak": 3})
    near = Account(cash=10_000.0, day_start_equity=10_000.0, peak_equity=10_000.0, loss_streak=2)
    assert (next_pause(near, conf).limit, next_pause(near, conf).trades) == ("run of losses", 1)
    assert next_pause(replace(near, loss_streak=1), conf).limit == "daily loss"
    assert next_pause(near, settings()).limit == "daily loss"


def test_pairs_that_win_and_lose_together_are_one_group() -> None:
    """LINK and ETH move alike, SOL is sold and moves against them: all three win together. AVAX moves alone."""
    up = walk(200)
    down = replace(up, close=1e4 / up.close, open=1e4 / up.open, high=1e4 / up.low, low=1e4 / up.high)
    windows = {
        Pair.parse(name): replace(candles, pair=Pair.parse(name))
        for name, candles in {"LINK": up, "ETH": up, "SOL": down, "AVAX": walk(200, 9)}.items()
    }
    held = (position("LINK"), position("AVAX"), position("SOL", Direction.SHORT), position("ETH"))
    account = Account(cash=10_000.0, positions=held, day_start_equity=1e4, peak_equity=1e4)
    view = risk_of(account, settings(), windows, "")
    assert view.groups == (("LINK/USDT", "SOL/USDT", "ETH/USDT"),)
    assert view.unknown == ()

    against = replace(account, positions=(position("LINK"), position("SOL")))
    assert risk_of(against, settings(), windows, "").groups == ()


async def test_the_risk_of_a_played_account_is_the_accounts(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        await there.played()
        view, account = await there.desk.topics.money.risk(), there.stage.loop.account
        assert view.open_risk == sum(p.open_risk for p in account.positions)
        assert view.paused == (await there.desk.status()).paused
        await there.desk.pause(ANN)
        assert (await there.desk.topics.money.risk()).paused == "by Ann"


# -- the model now --


class Oracle:
    """Likes longs by their features; remembers what it was asked."""

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.asked: list[tuple[Mapping[str, float], Direction | None, int | None]] = []
        self.model_id = "oracle"

    async def predict(
        self, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
    ) -> Prediction | str:
        self.asked.append((features, direction, at))
        if self.answer is not None:
            return self.answer
        reasons: Sequence[Reason] = (("entry_adx", features["entry_adx"], 0.8), (BASE, None, -0.4))
        return Prediction(self.model_id, 0.62 if direction is Direction.LONG else 0.37, reasons)


async def test_the_model_is_asked_of_the_last_close_as_a_long_and_as_a_short(tmp_path: Path) -> None:
    oracle = Oracle()
    async with office(tmp_path, predictor=oracle) as there:
        await there.played(600)
        loop, before = there.stage.loop, list(there.stage.loop.memory.recent)
        decided = len(await there.kept.ledger.decisions())
        view = await there.desk.topics.money.predict("link")

        assert [(s.direction, s.probability, s.opinion.confidence, s.opinion.recommendation) for s in view.sides] == [
            (Direction.LONG, 0.62, "HIGH", "TAKE"),
            (Direction.SHORT, 0.37, "LOW", "SKIP"),
        ]
        close = START + 600 * M15.ms
        assert (view.at, view.model_id, view.note) == (to_datetime(close), "oracle", "")
        assert [asked[1:] for asked in oracle.asked] == [(Direction.LONG, close), (Direction.SHORT, close)]
        assert view.sides[0].start == pytest.approx(1 / (1 + math.exp(0.4)))
        assert view.sides[0].lines[0].words.startswith("ADX ")

        windows = loop.memory.windows
        snapshot = loop.memory.histories[LINK].tracker.snapshot()
        assert snapshot is not None
        scene = scene_of([windows[p].between(None, close) for p in windows], settings().traded, settings())
        for features, direction, _ in oracle.asked:
            assert direction is not None
            wanted = features_of(snapshot, windows[LINK], direction, scene)
            np.testing.assert_equal(dict(features), wanted)
        assert (loop.memory.recent, len(await there.kept.ledger.decisions())) == (before, decided)


async def test_the_average_is_of_the_models_own_last_predictions(tmp_path: Path) -> None:
    async with office(tmp_path, predictor=Oracle()) as there:
        memory = there.stage.loop.memory
        memory.recent, memory.recent_model = [0.3, 0.4, 0.5], "another"
        assert [s.average for s in (await there.desk.topics.money.predict("LINK")).sides] == [None, None]
        memory.recent_model = "oracle"
        sides = (await there.desk.topics.money.predict("LINK")).sides
        assert [s.average for s in sides] == [pytest.approx(0.4)] * 2
        assert [s.rank for s in sides] == [1.0, pytest.approx(1 / 3)]


async def test_without_a_model_it_is_said_why(tmp_path: Path) -> None:
    async with office(tmp_path / "a", predictor=Oracle("learning 31/50")) as there:
        view = await there.desk.topics.money.predict("LINK/USDT")
        assert (view.sides, view.note, view.model_id) == ((), "learning 31/50", None)
        assert view.price == market(LAST)[LINK].close[FIRST - 1]
        with pytest.raises(UsageError, match="DOGE/USDT is not among the pairs: LINK, ETH, SOL"):
            await there.desk.topics.money.predict("doge")
        del there.stage.loop.memory.histories[LINK]
        with pytest.raises(UsageError, match="there are no candles of LINK/USDT yet"):
            await there.desk.topics.money.predict("LINK")


async def test_a_crossover_at_the_last_close_is_named(tmp_path: Path) -> None:
    async with office(tmp_path, predictor=Oracle()) as there:
        await there.played(600)
        own = market(LAST)[LINK]
        rows = np.flatnonzero(crossings(indicators(own)))
        row = int(rows[rows >= 600][0])
        await there.stage.play(market(LAST), 600, row)
        assert (await there.desk.topics.money.predict("LINK")).crossed is None
        await there.stage.play(market(LAST), row, row + 1)
        assert (await there.desk.topics.money.predict("LINK")).crossed is not None
