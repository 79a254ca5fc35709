"""A candle's effect on the book: for any candles and decisions the books balance, and every effect says it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candle, Pair
from core.domain.ledger import Effect
from core.domain.messages import Notice, SignalDecided, TargetHit, TradeClosed
from core.domain.trading import Candidate, Direction, ExitReason, FollowKind, GeminiOpinion, Opinions
from core.engine import fills
from core.engine.filters import Facts
from core.engine.step import Book, Close, Proposal, run_entries, run_exits
from core.engine.trader import Stance
from tests.core.engine.trades import candidate
from tests.markets import LINK, M15, START, bar

ETH, SOL = Pair.parse("ETH"), Pair.parse("SOL")
PAIRS = (LINK, ETH, SOL)
SETTINGS = Settings.model_validate({"portfolio": {"max_open_risk": 1.0}})
YES = Opinions(gemini=GeminiOpinion(True, 0.8, "because", (), "test"), gemini_present=True)
FACTS = Facts(trends={"1h": 1}, btc_correlation=0.1, btc_trend=1)


def book(cash: float = 10_000.0) -> Book:
    return Book(Account(cash, (), -1, cash, cash), {}, {}, 1, 1)


def enter(
    before: Book, row: int, *found: Candidate, config: Settings = SETTINGS, **changes: Any
) -> tuple[Book, Effect]:
    proposals = [Proposal(c, YES, FACTS, Stance(), **changes) for c in found]
    time = START + row * M15.ms
    return run_entries(before, time, [c.pair for c in found], proposals, time + M15.ms, config)


def exits(before: Book, row: int, candles: dict[Pair, Candle], config: Settings = SETTINGS) -> tuple[Book, Effect]:
    closes = {pair: Close(c, c.open) for pair, c in candles.items()}
    return run_exits(before, START + row * M15.ms, closes, config)


def named(effect: Effect, kind: type[Any]) -> list[Any]:
    return [e for e in effect.events if isinstance(e, kind)]


def test_a_taken_signal_is_a_decision_a_trade_and_an_event_with_one_id() -> None:
    after, effect = enter(book(), 0, candidate(LINK))

    (decision,), (follow,), (event,) = effect.decisions, effect.follows, named(effect, SignalDecided)
    assert (decision.status, follow.kind, event.status) == ("taken", FollowKind.TRADE, "taken")
    assert decision.decision_id == follow.decision_id == event.decision_id == 1
    assert after.account.positions[0].trade_id == follow.follow_id == event.trade_id == 1
    assert effect.account == after.account
    assert (after.next_decision_id, after.next_follow_id) == (2, 2)
    assert after.last_signals == {LINK: START}


def test_a_refused_signal_and_a_candidate_are_followed_without_money() -> None:
    loose = Settings.model_validate({"portfolio": {"max_positions": 1}})
    after, effect = enter(book(), 0, candidate(LINK), candidate(ETH), candidate(SOL, signal=False), config=loose)

    assert [d.status for d in effect.decisions] == ["taken", "refused", "candidate"]
    assert [f.kind for f in effect.follows] == list(FollowKind)
    assert [e.status for e in named(effect, SignalDecided)] == ["taken", "refused"]
    assert effect.decisions[1].reason == "1 of 1 positions open"
    assert SOL not in after.last_signals
    assert len(after.account.positions) == 1


def test_each_of_one_candles_signals_sees_the_positions_the_ones_before_it_opened() -> None:
    alike = replace(FACTS, correlations=dict.fromkeys(PAIRS, 0.9))
    proposals = [Proposal(candidate(pair), YES, alike, Stance()) for pair in PAIRS]
    _, effect = run_entries(book(), START, PAIRS, proposals, START, SETTINGS)

    assert [d.status for d in effect.decisions] == ["taken", "taken", "refused"]
    assert effect.decisions[2].reason == "moves with LINK/USDT, ETH/USDT"


def test_a_stale_signal_is_missed_and_starts_the_cooldown() -> None:
    after, effect = enter(book(), 0, candidate(LINK), stale=True)

    assert effect.decisions[0].status == "missed"
    assert after.account.positions == ()
    assert after.last_signals == {LINK: START}
    assert effect.account is None


def test_signals_only_tells_and_trades_nothing() -> None:
    after, effect = enter(book(), 0, candidate(LINK), config=Settings.model_validate({"mode": "signals"}))

    assert effect.decisions[0].status == "signal_only"
    assert effect.follows[0].kind is FollowKind.SHADOW_SIGNAL
    assert after.account == book().account


def test_targets_and_the_end_are_told_with_their_money() -> None:
    after, _ = enter(book(), 0, candidate(LINK))
    after, hit = exits(after, 1, {LINK: bar(1, 100, 105.5, 99, 105)})
    after, end = exits(after, 2, {LINK: bar(2, 105, 105, 97, 98)})

    assert [(e.target, e.remaining) for e in named(hit, TargetHit)] == [("TP1", 0.5), ("TP2", pytest.approx(0.2))]
    (closed,) = named(end, TradeClosed)
    assert (closed.reason, closed.last_target) == (ExitReason.STOP_LOSS, "TP2")
    assert closed.pnl == pytest.approx(after.account.cash - 10_000)
    assert closed.equity == after.account.equity
    assert closed.duration_minutes == 30
    assert closed.realized_r == pytest.approx(0.5 * 1.5 + 0.3 * 2.5 - 0.2)
    assert not after.follows


def test_the_last_target_ends_the_trade_and_is_told_once() -> None:
    after, _ = enter(book(), 0, candidate(LINK))
    _, effect = exits(after, 1, {LINK: bar(1, 100, 109, 99, 108)})

    assert [e.target for e in named(effect, TargetHit)] == ["TP1", "TP2"]
    assert [e.reason for e in named(effect, TradeClosed)] == [ExitReason.TP3_FULL]


def test_the_equity_told_is_that_of_the_close_with_every_position_at_its_new_mark() -> None:
    after, _ = enter(book(), 0, candidate(LINK), candidate(ETH))
    after, effect = exits(after, 1, {LINK: bar(1, 100, 100, 97, 98), ETH: bar(1, 100, 102, 99, 102)})

    assert [e.equity for e in named(effect, TradeClosed)] == [after.account.equity]


def test_shadows_are_followed_in_silence() -> None:
    after, _ = enter(book(), 0, candidate(LINK, signal=False))
    after, effect = exits(after, 1, {LINK: bar(1, 100, 101, 97, 98)})

    assert effect.follows[0].follow.exit_reason is ExitReason.STOP_LOSS
    assert effect.follows[0].r_net == pytest.approx(fills.net_r(*levels_and_legs(effect), 0.0005, 0.0005))
    assert effect.events == ()
    assert after.account.cash == 10_000


def levels_and_legs(effect: Effect) -> tuple[Any, Any]:
    follow = effect.follows[0].follow
    return follow.levels, follow.legs


def test_other_pairs_candles_move_nothing() -> None:
    after, _ = enter(book(), 0, candidate(LINK))
    same, effect = exits(after, 1, {ETH: bar(1, 50, 51, 1, 2)})

    assert same.follows == after.follows
    assert effect.follows == ()
    assert effect.cursors == {ETH: START + M15.ms}


@pytest.mark.parametrize(("missing", "reason"), [(8, None), (9, ExitReason.GAP)])
def test_a_gap_that_is_too_long_ends_a_trade_at_the_close_before_it(missing: int, reason: ExitReason | None) -> None:
    after, _ = enter(book(), 0, candidate(LINK))
    row = 1 + missing
    close = Close(bar(row, 101, 101, 100, 101), 100.5)
    _, effect = run_exits(after, START + row * M15.ms, {LINK: close}, SETTINGS)

    follow = effect.follows[0].follow
    assert follow.exit_reason is reason
    if reason:
        assert (follow.exit_price, follow.exit_time) == (100.5, START)


def test_a_breaker_is_told_once() -> None:
    poor = Settings.model_validate({"portfolio": {"daily_loss": 0.01, "max_open_risk": 1.0}})
    after, _ = exits(book(), 0, {LINK: bar(0, 100, 100, 100, 100)}, config=poor)
    after, _ = enter(after, 0, candidate(LINK), config=poor)
    after, first = exits(after, 1, {LINK: bar(1, 100, 100.5, 97.9, 98)}, config=poor)
    _, second = exits(after, 2, {LINK: bar(2, 98, 98, 98, 98)}, config=poor)

    assert [e.title for e in named(first, Notice)] == ["Daily loss limit: 2.2% since 00:00 UTC"]
    assert named(second, Notice) == []


# -- for any candles and decisions -------------------------------------------------------------------------------------

moves = st.tuples(st.floats(-0.03, 0.03), st.floats(0, 0.02), st.floats(0, 0.02))
wishes = st.sampled_from([None, None, None, Direction.LONG, Direction.SHORT])
rows = st.lists(st.tuples(*(st.tuples(moves, wishes) for _ in PAIRS)), min_size=5, max_size=60)


def lived(script: Sequence[Any], config: Settings) -> tuple[Book, list[Effect]]:
    """Every pair's candle by its moves; a wish becomes a signal at that close."""
    now, prices, effects = book(), dict.fromkeys(PAIRS, 100.0), list[Effect]()
    for row, pairs in enumerate(script):
        candles, found = {}, []
        for pair, ((move, up, down), wish) in zip(PAIRS, pairs, strict=True):
            price, close = prices[pair], prices[pair] * (1 + move)
            candles[pair] = bar(row, price, max(price, close) * (1 + up), min(price, close) * (1 - down), close)
            prices[pair] = close
            found += [candidate(pair, wish, row, close, close / 100)] if wish else []
        now, effect = exits(now, row, candles, config)
        effects.append(effect)
        now, effect = enter(now, row, *found, config=config)
        effects.append(effect)
    return now, effects


@settings(max_examples=60)
@given(rows)
def test_cash_and_open_value_equal_the_start_and_all_profit(script: Sequence[Any]) -> None:
    now, effects = lived(script, SETTINGS)

    records = {f.follow_id: f for e in effects for f in e.follows}
    trades = [f for f in records.values() if f.kind is FollowKind.TRADE]
    legs = [leg for e in effects for leg in e.legs]
    assert now.account.cash == pytest.approx(10_000 + sum(t.pnl for t in trades), rel=1e-12)
    marked = sum(p.open_pnl for p in now.account.positions)
    assert now.account.equity == pytest.approx(10_000 + sum(t.pnl for t in trades) + marked, rel=1e-12)
    assert {p.trade_id for p in now.account.positions} == {t.follow_id for t in trades if not t.follow.closed}
    for trade in trades:
        own = [leg for leg in legs if leg.follow_id == trade.follow_id]
        assert [leg.leg for leg in own] == list(trade.follow.legs)
        assert sum(leg.leg.fraction for leg in own) + trade.follow.remaining == pytest.approx(1.0)
        if trade.r_net is not None:
            net = fills.net_r(trade.follow.levels, trade.follow.legs, 0.0005, 0.0005)
            assert trade.r_net == pytest.approx(net, abs=1e-9)


@settings(max_examples=30)
@given(rows)
def test_no_event_is_missing_or_doubled(script: Sequence[Any]) -> None:
    now, effects = lived(script, SETTINGS)

    events = [e for effect in effects for e in effect.events]
    records = {f.follow_id: f for e in effects for f in e.follows}
    closed = {f.follow_id for f in records.values() if f.kind is FollowKind.TRADE and f.follow.closed}
    assert len({e.key for e in events}) == len(events)
    assert {e.trade_id for e in events if isinstance(e, TradeClosed)} == closed
    assert sum(isinstance(e, SignalDecided) for e in events) == now.next_decision_id - 1
    told = {(e.trade_id, e.target) for e in events if isinstance(e, TargetHit)}
    hit = {
        (f.follow_id, leg.name)
        for f in records.values()
        if f.kind is FollowKind.TRADE
        for leg in f.follow.legs
        if leg.name in ("TP1", "TP2")
    }
    assert told == hit


@settings(max_examples=30)
@given(rows)
def test_never_more_open_than_the_limits_allow(script: Sequence[Any]) -> None:
    tight = Settings.model_validate({"portfolio": {"max_positions": 2, "max_open_risk": 0.03}})
    _, effects = lived(script, tight)

    for account in (e.account for e in effects if e.account is not None and e.step == "entries"):
        assert len(account.positions) <= 2
        assert len({p.pair for p in account.positions}) == len(account.positions)
        newest = account.positions[-1]
        # Equity after the entry is smaller than the one it was sized by, by the entry's costs.
        assert sum(p.open_risk for p in account.positions) <= 0.03 * (account.equity + 0.01 * newest.notional) + 1e-6


@settings(max_examples=20)
@given(rows)
def test_the_same_script_gives_the_same_effects(script: Sequence[Any]) -> None:
    assert lived(script, SETTINGS) == lived(script, SETTINGS)
