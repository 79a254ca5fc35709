"""The mode advisory: a trade waits for a yes until the next close, and nothing else of the books changes by waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from core.config import Settings
from core.domain.account import Position
from core.domain.candles import Candle, Candles, Pair, to_ms
from core.domain.ledger import DecisionRecord
from core.domain.messages import SignalDecided, TradeClosed
from core.domain.trading import Direction, FollowKind
from core.engine import answered
from core.engine.advisory import Waiting, has_left, refusal
from core.engine.answered import Yes
from core.engine.strategy import levels
from core.errors import MarketError, UsageError
from core.ports import MarketData, StoredApproval
from core.services.advisory import TradeQuestions
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.loop import TradingLoop
from core.services.minutes import M1, ExchangeMinutes
from core.services.views import Actor
from tests.core.services.test_minutes import FIRST, LAST, Exchange, conf, exchange
from tests.ledgers import Books, Stage, books, facts_of, market
from tests.markets import M15

ANN = Actor(1001, "Ann", "approver")


@dataclass
class Advised:
    stage: Stage
    kept: Books
    approvals: Approvals
    there: Exchange
    config: Settings

    @property
    def loop(self) -> TradingLoop:
        return self.stage.loop

    async def until_asked(self, row: int = FIRST) -> tuple[int, StoredApproval]:
        """Plays on until a card waits; the next row and the card."""
        while not (cards := await self.approvals.open("trade")):
            await self.stage.play(market(LAST), row, row + 1)
            row += 1
        return row, cards[0]

    async def later(self, minutes: float) -> None:
        self.stage.clock.advance(self.stage.clock.now() + timedelta(minutes=minutes))

    async def decision(self, card: StoredApproval) -> DecisionRecord:
        row = await self.kept.ledger.row_of(Waiting.from_json(card.body).signal.decision_id)
        assert row is not None
        return row.decision

    def price(self, pair: Pair, price: float, since: int) -> None:
        """Every minute from ``since`` (epoch ms) on has this price alone."""
        found = self.there.candles_of[pair]
        flat = {
            name: np.where(found.time >= since, price, getattr(found, name))
            for name in ("open", "high", "low", "close")
        }
        changed = Candles(found.pair, found.timeframe, found.time, **flat, volume=found.volume)
        self.there.candles_of = {**self.there.candles_of, pair: changed}


@asynccontextmanager
async def advised(path: Path, **changes: object) -> AsyncIterator[Advised]:
    config = conf(mode="advisory", **changes)
    async with books(path) as kept:
        there, clock = exchange(FIRST)
        loop = TradingLoop(config, clock, kept.ledger, minutes=ExchangeMinutes(cast(MarketData, there), clock))
        await loop.start()
        for candles in market(LAST).values():
            loop.warm(candles.rows(0, FIRST))
        approvals = Approvals(config, clock, kept.ledger, kept.chat, loop, Bell())
        TradeQuestions(config, clock, cast(MarketData, there), loop, approvals)
        yield Advised(Stage(loop, clock), kept, approvals, there, config)


def plan(card: StoredApproval) -> SignalDecided:
    return Waiting.from_json(card.body).signal


async def test_a_signal_waits_as_a_shadow_and_a_card_asks_until_the_next_close(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        assert (await at.decision(card)).status == "waiting"
        assert at.loop.account.positions == ()
        follow = at.loop.memory.book.follows[Waiting.from_json(card.body).follow_id]
        assert follow.kind is FollowKind.SHADOW_SIGNAL
        assert card.expires_at == to_ms(signal.time) + M15.ms
        assert card.title.startswith(f"Trade {Pair.parse(signal.pair).base} {signal.direction} at ")
        waiting = [i.event for i in await at.kept.chat.pending(1000)]
        assert not [e for e in waiting if isinstance(e, SignalDecided) and e.decision_id == signal.decision_id]
        assert [e.key for e in waiting if e.kind == "approval_asked"] == [f"approval:{card.approval_id}"]


async def test_a_yes_trades_at_the_price_of_that_moment_never_more_and_never_riskier(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        pair, sign = Pair.parse(signal.pair), signal.direction.sign
        run_off = signal.entry + sign * 0.5 * abs(signal.entry - signal.stop)  # half an R away, towards the target
        at.price(pair, run_off, to_ms(signal.time))
        await at.later(5)
        cash = at.loop.account.cash
        view = await at.approvals.answer(card.approval_id, True, ANN)

        [position] = at.loop.account.positions
        fill = run_off * (1 + sign * at.config.paper.slippage_rate)
        assert view.state == "approved"
        assert position.entry_fill == pytest.approx(fill)
        assert position.quantity == pytest.approx(signal.risk_amount / abs(fill - signal.stop))
        assert position.quantity < signal.quantity
        assert position.risk_amount == pytest.approx(signal.risk_amount)
        assert at.loop.account.cash == pytest.approx(cash - fill * position.quantity * at.config.paper.fee_rate)
        decision = await at.decision(card)
        assert (decision.status, decision.verdicts[-1].layer) == ("taken", "approval")
        assert decision.verdicts[-1].sentence == f"Ann said yes, filled at {fill:g}"
        told = [i.event for i in await at.kept.chat.pending(1000)]
        [opened] = [e for e in told if isinstance(e, SignalDecided) and e.trade_id == position.trade_id]
        assert (opened.status, opened.quantity) == ("taken", position.quantity)


async def test_towards_the_stop_no_more_is_bought_than_was_shown(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        nearer = signal.entry - signal.direction.sign * 0.5 * abs(signal.entry - signal.stop)
        at.price(Pair.parse(signal.pair), nearer, to_ms(signal.time))
        await at.later(5)
        await at.approvals.answer(card.approval_id, True, ANN)
        [position] = at.loop.account.positions
        assert position.quantity == pytest.approx(signal.quantity)
        assert position.risk_amount < signal.risk_amount


@pytest.mark.parametrize(("level", "word"), [("stop", "stop"), ("target", "first target")])
async def test_a_plan_that_the_market_has_left_is_withdrawn(tmp_path: Path, level: str, word: str) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        pair, start = Pair.parse(signal.pair), to_ms(signal.time)
        at.price(pair, signal.stop if level == "stop" else signal.targets[0], start)
        at.price(pair, signal.entry, start + M1.ms)  # it came back: the trade would have ended or begun without us
        await at.later(5)
        with pytest.raises(UsageError, match=f"reached the {word}"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()
        decision = await at.decision(card)
        assert decision.status == "refused"
        assert word in decision.reason


@pytest.mark.parametrize(("direction", "sign"), [(Direction.LONG, 1), (Direction.SHORT, -1)])
def test_a_touch_of_the_stop_or_the_first_target_ends_a_plan_on_either_side(direction: Direction, sign: int) -> None:
    plan = levels(direction, 100.0, 1.0)  # the stop 2 against it, TP1 3 for it
    at = 1_000 * M1.ms

    def minute(touched: float, opened: int = at) -> Candle:
        return Candle(opened, 100.0, max(100.0, touched), min(100.0, touched), 100.0, 1.0)

    for reached, word in ((100.0 - 2 * sign, "stop"), (100.0 + 3 * sign, "first target")):
        within = reached + (0.01 if reached < 100 else -0.01)
        assert word in has_left(plan, at, [minute(reached)], 100.0)
        assert word in has_left(plan, at, [], reached)
        assert not has_left(plan, at, [minute(within)], within)
        assert not has_left(plan, at, [minute(reached, at - M1.ms)], 100.0), "before the signal's close"


async def test_a_no_and_silence_refuse_and_the_shadow_goes_on(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        row, card = await at.until_asked()
        await at.approvals.answer(card.approval_id, False, ANN)
        assert ((await at.decision(card)).status, (await at.decision(card)).reason) == ("refused", "Ann said no")
        follow = at.loop.memory.book.follows[Waiting.from_json(card.body).follow_id]
        assert follow.kind is FollowKind.SHADOW_SIGNAL

        row, second = await at.until_asked(row)
        await at.stage.play(market(LAST), row, row + 1)
        await at.approvals.expire()
        assert (await at.decision(second)).reason == "nobody answered in time"
        with pytest.raises(UsageError, match="expired"):
            await at.approvals.answer(second.approval_id, True, ANN)
        assert at.loop.account.positions == ()


async def test_what_stands_in_the_way_by_now_is_said_and_no_trade_is_made(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        async with at.loop.changing:
            at.loop.memory.controls = replace(at.loop.memory.controls, paused="by Bob")
        await at.later(2)
        with pytest.raises(UsageError, match="paused: by Bob"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()


async def test_without_a_price_the_card_waits_on(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        await at.later(3)
        at.there.error = MarketError("nobody answers")
        with pytest.raises(UsageError, match="answer again in a moment"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert [a.approval_id for a in await at.approvals.open("trade")] == [card.approval_id]


async def test_one_answer_counts_and_a_restart_in_between_changes_nothing(tmp_path: Path) -> None:
    async with advised(tmp_path / "a") as at:
        _, card = await at.until_asked()
        await at.later(3)
        await at.loop.start()  # from the store, as after a kill
        await at.approvals.answer(card.approval_id, True, ANN)
        with pytest.raises(UsageError, match="Ann approved this"):
            await at.approvals.answer(card.approval_id, True, Actor(2, "Bob", "approver"))
        book = at.loop.memory.book
        await at.loop.start()
        assert at.loop.memory.book.account == book.account
        assert at.loop.memory.book.follows == book.follows
        assert len(at.loop.account.positions) == 1


async def test_a_card_whose_evidence_was_changed_in_the_store_is_withdrawn(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        body = json.loads(card.body)
        body["signal"]["quantity"] *= 10
        await at.kept.db.write("UPDATE approvals SET body = ?", (json.dumps(body),))
        with pytest.raises(UsageError, match="not what was asked with"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()


async def test_cash_is_the_start_and_what_the_trades_made(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        row = FIRST
        while row < LAST - 60:
            row, card = await at.until_asked(row)
            await at.later(4)
            try:
                await at.approvals.answer(card.approval_id, row % 3 != 0, ANN)
            except UsageError:
                assert not await at.approvals.open("trade") or row
            await at.stage.play(market(LAST), row, row + 12)
            row += 12
            await at.approvals.expire()
        closed = await at.kept.ledger.closed_trades()
        entries = sum(p.pnl for p in at.loop.account.positions)
        assert len(closed) >= 3
        start = at.config.paper.start_balance
        assert at.loop.account.cash == pytest.approx(start + sum(t.pnl for t in closed) + entries)
        told = [i.event for i in await at.kept.chat.pending(1000)]
        assert {e.trade_id for e in told if isinstance(e, TradeClosed)} == {t.follow_id for t in closed}


async def test_a_shadow_that_has_seen_another_close_is_no_trade_whatever_the_clock_says(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        row, card = await at.until_asked()
        waiting = Waiting.from_json(card.body)
        await at.stage.play(market(LAST), row, row + 1)
        if waiting.follow_id in at.loop.memory.book.follows:
            with pytest.raises(ValueError, match="the next candle has closed"):
                answered.take(at.loop.memory.book, waiting, Yes(plan(card).entry, card.expires_at, "Ann"), at.config)


async def test_two_yeses_at_the_same_time_are_one_trade_and_the_second_is_told_who_was_first(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        await at.later(3)
        both = [at.approvals.answer(card.approval_id, True, who) for who in (ANN, Actor(2, "Bob", "approver"))]
        answers = [asyncio.ensure_future(answer) for answer in both]
        async with at.loop.changing:  # a candle is being handled: both have their price before either is applied
            await asyncio.sleep(0.2)
        first, second = await asyncio.gather(*answers, return_exceptions=True)
        told = next(one for one in (first, second) if isinstance(one, BaseException))
        assert isinstance(told, UsageError)
        assert " approved this" in str(told)
        assert len(at.loop.account.positions) == 1
        assert (await at.decision(card)).status == "taken"


async def test_a_yes_is_filled_at_the_worse_of_the_last_minute_and_what_is_traded_since(tmp_path: Path) -> None:
    """Who has seen the price run off within the minute does not get the price from before."""
    for name, run_off in (("off", 0.8), ("back", -0.4)):
        async with advised(tmp_path / name) as at:
            _, card = await at.until_asked()
            signal = plan(card)
            pair, sign = Pair.parse(signal.pair), signal.direction.sign
            at.price(pair, signal.entry, to_ms(signal.time))
            await at.later(5)
            at.there.last[pair] = signal.entry + sign * run_off * abs(signal.entry - signal.stop)
            await at.approvals.answer(card.approval_id, True, ANN)
            [position] = at.loop.account.positions
            paid = at.there.last[pair] if run_off > 0 else signal.entry
            assert position.entry_fill == pytest.approx(paid * (1 + sign * at.config.paper.slippage_rate))


async def test_a_target_that_is_traded_at_just_now_ends_the_plan(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        await at.later(1)
        at.there.last[Pair.parse(signal.pair)] = signal.targets[0]
        with pytest.raises(UsageError, match="first target"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()


async def test_a_yes_costs_its_fee_and_its_slippage_and_nothing_else(tmp_path: Path) -> None:
    """The last close is older than the price of the yes: by that mark, the yes would seem to have lost at once."""
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        pair, sign = Pair.parse(signal.pair), signal.direction.sign
        paid = signal.entry + sign * 0.5 * abs(signal.entry - signal.stop)
        at.price(pair, paid, to_ms(signal.time))
        await at.later(5)
        before = at.loop.account.equity
        await at.approvals.answer(card.approval_id, True, ANN)
        [position] = at.loop.account.positions
        paper = at.config.paper
        costs = position.quantity * (paid * paper.slippage_rate + position.entry_fill * paper.fee_rate)
        assert at.loop.account.equity == pytest.approx(before - costs)


async def test_a_crumb_of_the_plan_is_not_bought(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        signal = plan(card)
        near = signal.stop + signal.direction.sign * 0.01 * abs(signal.entry - signal.stop)
        at.price(Pair.parse(signal.pair), near, to_ms(signal.time))
        await at.later(5)
        with pytest.raises(UsageError, match="too near the stop"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()


@pytest.mark.parametrize("limit", ["open_risk", "leverage"])
@pytest.mark.parametrize("left", [0.4, 0.05])
async def test_a_yes_is_given_the_room_that_the_limits_leave_by_then(tmp_path: Path, limit: str, left: float) -> None:
    """Something else has been bought since the card was shown: ``left`` of what it showed still fits, or a crumb."""
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        waiting, signal, book = Waiting.from_json(card.body), plan(card), at.loop.memory.book
        other = next(p for p in at.config.traded if p != Pair.parse(signal.pair))
        fill = signal.entry * (1 + signal.direction.sign * at.config.paper.slippage_rate)
        equity, shown = book.account.equity, signal.risk_amount / abs(fill - signal.stop)
        taken = {"open_risk": 0.2 * equity - left * signal.risk_amount, "leverage": 0.0}[limit]
        worth = {"open_risk": 0.0, "leverage": at.config.paper.max_leverage * equity - left * shown * fill}[limit]
        held = Position(99, other, Direction.LONG, 1.0, worth, taken, book.follows[waiting.follow_id].follow, worth)
        full = replace(book, account=replace(book.account, positions=(held,)))
        yes = Yes(signal.entry, to_ms(signal.time) + 60_000, "Ann")
        if left < 0.1:
            with pytest.raises(ValueError, match="leave no room"):
                answered.take(full, waiting, yes, at.config)
            return
        after, effect = answered.take(full, waiting, yes, at.config)
        [bought] = [p for p in after.account.positions if p.trade_id == waiting.follow_id]
        assert bought.quantity == pytest.approx(left * shown)
        assert effect.settled[0].quantity == bought.quantity


async def test_what_is_a_trade_by_now_is_not_taken_again(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        waiting, yes = Waiting.from_json(card.body), Yes(plan(card).entry, to_ms(plan(card).time) + 60_000, "Ann")
        once, _ = answered.take(at.loop.memory.book, waiting, yes, at.config)
        with pytest.raises(ValueError, match="not followed any more"):
            answered.take(once, waiting, yes, at.config)


async def test_pairs_that_move_with_it_count_at_the_yes_as_they_did_at_the_close(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        _, card = await at.until_asked()
        waiting, book = Waiting.from_json(card.body), at.loop.memory.book
        own, follow = Pair.parse(waiting.signal.pair), book.follows[waiting.follow_id].follow
        others = [p for p in at.config.traded if p != own]
        held = tuple(Position(90 + n, p, waiting.signal.direction, 0.1, 1, 1, follow, 1) for n, p in enumerate(others))
        account, limits = replace(book.account, positions=held), at.config.portfolio
        narrow = at.config.model_copy(update={"portfolio": limits.model_copy(update={"max_correlated": 2})})
        for share, said in ((0.9, f"moves with {', '.join(map(str, others))}"), (0.1, "")):
            asked = replace(waiting, correlations=dict.fromkeys(others, share))
            assert refusal(asked, account, "", True, to_ms(waiting.signal.time), narrow) == said


async def test_two_cards_of_one_close_share_one_set_of_limits(tmp_path: Path) -> None:
    """Two pairs that are alike cross together; one position is allowed, and both are answered with a yes."""
    async with advised(tmp_path) as at:
        link, eth = Pair.parse("LINK/USDT"), Pair.parse("ETH/USDT")
        there = market(LAST)
        twins = there | {eth: replace(there[link], pair=eth)}
        at.there.candles_of = {**at.there.candles_of, eth: replace(at.there.candles_of[link], pair=eth)}
        at.loop.warm(twins[eth].rows(0, FIRST))
        row = FIRST
        while len(cards := await at.approvals.open("trade")) < 2:
            await at.approvals.expire()
            await at.stage.play(twins, row, row + 1)
            row += 1
        assert {plan(card).pair for card in cards} == {str(link), str(eth)}
        await at.later(1)
        narrow = at.config.portfolio.model_copy(update={"max_positions": 1})
        at.loop.in_force = at.config.model_copy(update={"portfolio": narrow})
        both = (at.approvals.answer(card.approval_id, True, ANN) for card in cards)
        found = await asyncio.gather(*both, return_exceptions=True)
        assert len(at.loop.account.positions) == 1
        [refused] = [one for one in found if isinstance(one, BaseException)]
        assert isinstance(refused, UsageError)
        assert "1 of 1 positions open" in str(refused)
        assert sorted([(await at.decision(card)).status for card in cards]) == ["refused", "taken"]


async def test_samples_do_not_depend_on_when_somebody_answers(tmp_path: Path) -> None:
    """The same signals end with the same R, answered or not: a trade's plan is that of its candle's close."""

    async def outcomes(path: Path, yes: bool) -> dict[int, float]:
        async with advised(path) as at:
            row, card = await at.until_asked()
            await at.later(1)
            await at.approvals.answer(card.approval_id, yes, ANN)
            await at.stage.play(market(LAST), row, LAST)
            facts = await facts_of(at.kept)
            names = [c[1] for c in await at.kept.db.rows("PRAGMA table_info(follows)")]
            r, number, reason = names.index("realized_r"), names.index("decision_id"), names.index("exit_reason")
            first = plan(card).decision_id
            return {int(f[number]): float(f[r]) for f in facts["follows"] if f[reason] and f[number] == first}  # type: ignore[call-overload, arg-type]

    said_yes, said_no = await outcomes(tmp_path / "yes", True), await outcomes(tmp_path / "no", False)
    assert said_yes
    assert said_yes == pytest.approx(said_no)


async def test_a_close_that_comes_while_the_price_is_asked_for_is_too_late(tmp_path: Path) -> None:
    async with advised(tmp_path) as at:
        row, card = await at.until_asked()
        asked = at.there.candles

        async def slow(*args: object) -> Candles:
            found = await asked(*args)  # type: ignore[arg-type]
            await at.stage.play(market(LAST), row, row + 1)
            return found

        at.there.candles = slow  # type: ignore[method-assign, assignment]
        await at.later(14)
        with pytest.raises(UsageError, match="the next candle has closed since"):
            await at.approvals.answer(card.approval_id, True, ANN)
        assert at.loop.account.positions == ()
        assert (await at.decision(card)).status == "refused"
