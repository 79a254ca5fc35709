"""The desk: what a person sees is what the books hold, what a person sets holds, also while the loop is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from core.domain.audit_chain import broken_link
from core.domain.candles import Pair, to_datetime
from core.domain.ledger import Controls, Effect
from core.domain.messages import SignalDecided
from core.domain.trading import FollowKind
from core.errors import UsageError
from core.ports import MarketData
from core.services.champion import ChampionInfo
from core.services.prices import Prices
from tests.ledgers import market, settings
from tests.markets import M15, START
from tests.offices import ANN, FIRST, LAST, LINK, OLE, PNG, Thinks, office

# -- looking -----------------------------------------------------------------------------------------------------------


async def test_samples_and_report_are_those_of_the_ledger(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        await there.played()
        count = await there.kept.ledger.outcome_count()
        ml, samples, report = await there.desk.ml(), await there.desk.samples(), await there.desk.report()

    assert ml.forecast is not None
    assert ml.forecast.seen.outcomes == samples.stock.live == count > 0
    assert ml.samples == samples.stock.counts
    assert report.report is not None
    assert next(m for m in report.report.metrics if m.key == "collected").value == count
    assert samples.picture is not None
    assert report.picture is not None


async def test_layers_and_gemini_are_answered_from_the_ledger(tmp_path: Path) -> None:
    async with office(tmp_path) as there:
        await there.played()
        assert (await there.desk.layers()).report.outcomes == await there.kept.ledger.outcome_count() > 0
        assert not (await there.desk.gemini()).present


async def test_the_dial_the_rules_and_whether_the_gate_opens_are_answered_and_noted(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        assert (await at.desk.dial()).picture is None
        assert not any(v.changed_by for v in await at.desk.rules())
        answer = await at.desk.opens(OLE)
        assert (answer.opens, answer.approval_id) == (None, None)
        changed = {"from": settings().strategy.adx_min, "to": 33.0, "by": "Ann", "at": 7}
        at.stage.loop.memory.controls = Controls(changes={"strategy.adx_min": changed})
        assert (await at.desk.ml()).changes == ("strategy.adx_min 10 → 33",)
        with pytest.raises(UsageError, match="only an approver"):
            await at.desk.rules_to_config(OLE)
        assert not any(v.changed_by for v in await at.desk.rules_to_config(ANN))
        assert [row["action"] for row in await at.kept.chat.audit_rows()] == ["rules_to_config", "opens"]


async def test_why_tells_of_the_newest_signal_and_of_the_one_named(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played()
        newest = await at.desk.why(None)
        signals = [d.decision_id for d in await at.kept.ledger.decisions(signals_only=True)]
        first = await at.desk.why(signals[0])

    assert (first.decision_id, newest.decision_id) == (signals[0], signals[-1])


async def test_the_status_of_a_new_account(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        status = await at.desk.status()

    assert (status.equity, status.cash, status.open_pnl, status.total_pnl) == (10_000, 10_000, 0, 0)
    assert (status.paused, status.faults, status.positions) == ("", (), ())
    assert status.next_close == to_datetime(START + (FIRST + 1) * M15.ms)
    assert status.last_close is None
    assert status.ml == "learning 31/50"
    assert [p.pair for p in status.pairs] == ["LINK/USDT", "ETH/USDT", "SOL/USDT"]


async def test_the_status_adds_up_and_agrees_with_the_books(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        row = FIRST
        while row < 600 or not all(p.follow.bars for p in at.stage.loop.account.positions):
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        status, trades = await at.desk.status(), await at.desk.trades(3)
        curve = dict(await at.kept.ledger.equity_curve())
        rows = await at.kept.ledger.trade_rows()
        midnight = START + (row * M15.ms) // 86_400_000 * 86_400_000
        signals = await at.kept.ledger.decisions(midnight, signals_only=True)

    closed = [r.follow for r in rows if r.follow.kind is FollowKind.TRADE and r.follow.follow.closed]
    assert status.equity == pytest.approx(status.cash + status.open_pnl)
    assert status.equity == curve[START + row * M15.ms]
    assert status.total_pnl == pytest.approx(trades.pnl + sum(p.open_pnl + p.realized_pnl for p in status.positions))
    assert status.open_pnl == pytest.approx(sum(p.open_pnl for p in status.positions))
    assert status.last_close == to_datetime(START + row * M15.ms)
    assert status.day_pnl == pytest.approx(status.equity - curve[midnight])
    assert status.trades_total == trades.total == len(closed)
    assert trades.pnl == pytest.approx(sum(t.pnl for t in closed))
    assert trades.wins == sum(t.pnl > 0 for t in closed)
    assert len(trades.trades) == min(3, len(closed))
    assert trades.trades[0].closed_at >= trades.trades[-1].closed_at
    assert status.signals_today == len(signals)
    assert status.refused_today == sum(d.status == "refused" for d in signals)


async def test_times_of_trades_and_positions_are_the_closes_people_saw(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        row = FIRST
        while not at.stage.loop.account.positions:
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        (position, *_) = await at.desk.positions()
        while at.stage.loop.account.position(Pair.parse(position.pair)):
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        (trade,) = [t for t in (await at.desk.trades(100)).trades if t.trade_id == position.trade_id]
        (taken,) = [
            item.event
            for item in await at.kept.chat.pending(1000)
            if isinstance(item.event, SignalDecided) and item.event.trade_id == position.trade_id
        ]

    assert position.opened_at == trade.opened_at == taken.time
    assert trade.closed_at == to_datetime(START + row * M15.ms)
    assert trade.closed_at - trade.opened_at == timedelta(minutes=trade.duration_minutes)


class Tells:
    """An exchange that knows one price for all."""

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        return dict.fromkeys(pairs, 1234.5)


async def test_a_position_shows_what_it_is_worth_now_and_the_books_keep_the_last_close(tmp_path: Path) -> None:
    prices = Prices(lambda: [], cast(MarketData, Tells()), None)
    async with office(tmp_path, prices=prices) as at:
        row = FIRST
        while not at.stage.loop.account.positions:
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        (before, *_) = await at.desk.positions()
        equity = at.stage.loop.account.equity
        looking = asyncio.create_task(prices.run())
        await asyncio.sleep(0.01)
        looking.cancel()
        (after, *_) = (await at.desk.status()).positions
        held = at.stage.loop.account.positions[0]

    assert (before.live, before.live_pnl) == (None, None)
    assert after.live is not None
    assert (after.live.price, after.live.source) == (1234.5, "asked")
    assert after.live_pnl == pytest.approx(
        held.direction.sign * (1234.5 - held.entry_fill) * held.quantity * held.follow.remaining
    )
    assert (after.mark, after.open_pnl, after.r) == (before.mark, before.open_pnl, before.r)
    assert at.stage.loop.account.equity == equity


async def test_a_position_s_r_is_what_it_has_made_and_what_is_open(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        row = FIRST
        while not any(0 < p.follow.targets_hit < 3 for p in at.stage.loop.account.positions):
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        held = next(p for p in at.stage.loop.account.positions if p.follow.targets_hit)
        view = next(v for v in await at.desk.positions() if v.trade_id == held.trade_id)

    levels = held.follow.levels
    open_r = levels.direction.sign * (held.mark - levels.entry) / levels.risk * view.remaining
    assert view.targets_hit == 1
    assert view.remaining == 0.5
    assert view.r == pytest.approx(0.75 + open_r)


async def test_trades_without_a_loss_have_no_profit_factor(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        none = await at.desk.trades(5)
        await at.played()
        some = await at.desk.trades(1000)

    assert (none.trades, none.total, none.profit_factor) == ((), 0, None)
    gains = sum(t.pnl for t in some.trades if t.pnl > 0)
    assert some.profit_factor == pytest.approx(gains / (gains - some.pnl))


async def test_the_model_s_view_before_and_with_a_model(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        learning = await at.desk.ml()
        at.school.champion = ChampionInfo("xgb-1", {"auc": 0.6}, 400)
        blocked = await at.desk.ml()

    assert (learning.state, learning.champion, learning.rows, learning.rows_needed) == ("learning", None, 31, 50)
    assert "31 of 50" in learning.summary
    assert (blocked.state, blocked.weight, blocked.next_look) == ("blocked", 0.0, 50)
    assert "decides nothing" in blocked.summary
    assert not any(c.met for c in blocked.conditions)


async def test_charts_are_pictures_and_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.played(700)
        (trade, *_) = (await at.desk.trades(1)).trades
        assert (await at.desk.chart("link")).startswith(PNG)
        assert (await at.desk.chart(trade.pair, trade.trade_id)).startswith(PNG)
        with pytest.raises(UsageError, match="XRP/USDT is not among the pairs: LINK, ETH, SOL"):
            await at.desk.chart("XRP")
    async with office(tmp_path / "new", 0) as at:
        with pytest.raises(UsageError, match="no candles of LINK/USDT yet"):
            await at.desk.chart("LINK")


# -- steering ----------------------------------------------------------------------------------------------------------


async def test_a_switch_takes_effect_names_who_pressed_it_and_survives(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        off = await at.desk.switch_pair("link", False, OLE)
        await at.played(600)
        refused = await at.kept.ledger.decisions(pair=LINK, signals_only=True)
    async with office(tmp_path, 600) as at:
        still = (await at.desk.pairs())[0]
        on = await at.desk.switch_pair("LINK/USDT", True, ANN)

    assert (off.enabled, off.note) == (False, "switched off by Ole")
    assert refused
    assert {d.reason for d in refused} == {"LINK/USDT is switched off"}
    assert (still.enabled, still.note) == (False, "switched off by Ole")
    assert (on.enabled, on.note) == (True, "")


async def test_a_pair_the_exchange_does_not_trade_cannot_be_switched_on(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.live.listing._stop(LINK, "is not listed by the exchange", "POL/USDT")
        with pytest.raises(UsageError, match="LINK/USDT cannot be switched on: is not listed by the exchange"):
            await at.desk.switch_pair("LINK", True, ANN)
        view = (await at.desk.pairs())[0]
        with pytest.raises(UsageError, match="is not a pair"):
            await at.desk.switch_pair("??", True, ANN)

    assert (view.enabled, view.note) == (False, "is not listed by the exchange")


async def test_a_pause_is_shown_survives_and_is_lifted(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        assert (await at.desk.pause(OLE)).paused == "by Ole"
    async with office(tmp_path) as at:
        assert (await at.desk.status()).paused == "by Ole"
        assert (await at.desk.resume(OLE)).paused == ""
    async with office(tmp_path) as at:
        assert (await at.desk.status()).paused == ""
        actions = [row["action"] for row in await at.kept.chat.audit_rows()]

    assert actions == ["resume", "pause"]


async def test_a_drawdown_is_resumed_by_an_approver_alone_and_for_good(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        loop = at.stage.loop
        poor = replace(loop.account, cash=7_900.0, drawdown_paused=True, drawdown_warned=True)
        await at.kept.ledger.save_account(poor)
    async with office(tmp_path) as at:
        assert (await at.desk.status()).paused == "drawdown 21.0%, an approver must /resume"
        with pytest.raises(UsageError, match="only an approver can resume"):
            await at.desk.resume(OLE)
        assert at.stage.loop.account.drawdown_paused
        assert (await at.desk.resume(ANN)).paused == ""
    async with office(tmp_path) as at:
        account = at.stage.loop.account
        await at.played(FIRST + 1)
        assert not at.stage.loop.account.drawdown_paused

    assert (account.peak_equity, account.drawdown, account.drawdown_warned) == (7_900.0, 0.0, False)


async def test_a_day_s_loss_is_no_pause_a_person_can_lift(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        day = START // 86_400_000 + FIRST // 96
        await at.kept.ledger.save_account(replace(at.stage.loop.account, day=day, paused_day=day))
    async with office(tmp_path) as at:
        assert (await at.desk.resume(ANN)).paused == "daily loss limit, until 00:00 UTC"
        at.stage.clock.advance(to_datetime((day + 1) * 86_400_000))
        assert (await at.desk.status()).paused == ""


# -- people and the loop at the same time ------------------------------------------------------------------------------


class Slow:
    """A ledger whose commits wait until they are let."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, effect: Effect) -> bool:
        self.begun.set()
        await self.let.wait()
        return bool(await self._inner.commit(effect))


async def test_a_resume_in_the_middle_of_a_step_loses_no_money(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        row, loop = FIRST, at.stage.loop
        while not loop.account.positions:
            await at.stage.play(market(LAST), row, row + 1)
            row += 1
        loop.memory.book = replace(loop.memory.book, account=replace(loop.account, drawdown_paused=True))
        marks = {p.pair: p.mark for p in loop.account.positions}
        slow = Slow(at.kept.ledger)
        loop._ledger = slow
        stepping = asyncio.create_task(at.stage.play(market(LAST), row, row + 1))
        await slow.begun.wait()
        resuming = asyncio.create_task(at.desk.resume(ANN))
        await asyncio.sleep(0.02)
        status = await at.desk.status()  # looking waits for nobody
        slow.let.set()
        await asyncio.gather(stepping, resuming)
        stored = (await at.kept.ledger.load()).account

        assert status.positions
        assert not loop.account.drawdown_paused
        assert stored == loop.account
        assert {p.pair: p.mark for p in loop.account.positions} != marks
        closed = sum(t.pnl for t in await at.kept.ledger.closed_trades())
        assert loop.account.cash == pytest.approx(10_000 + closed + sum(p.pnl for p in loop.account.positions))


@pytest.mark.parametrize("command", ["pause", "switch"])
async def test_what_is_pressed_while_gemini_thinks_counts_for_the_signal_it_thinks_about(
    tmp_path: Path, command: str
) -> None:
    async with office(tmp_path, advisor=(gemini := Thinks())) as at:
        playing = asyncio.create_task(at.played())
        async with asyncio.timeout(20):
            await gemini.asked.wait()
        if command == "pause":
            await at.desk.pause(OLE)
        else:
            for pair in at.stage.loop._order:
                await at.desk.switch_pair(str(pair), False, OLE)
        gemini.let.set()
        await playing
        decisions = await at.kept.ledger.decisions(signals_only=True)

    assert decisions
    assert {d.status for d in decisions} == {"refused"}


async def test_a_pause_and_a_lost_weight_at_the_same_moment_both_hold(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.kept.ledger.set_controls(Controls(approved_weight=0.5, approved_model="m1"))
        at.stage.loop.memory.controls = await at.kept.ledger.controls()
        await asyncio.gather(at.desk.pause(OLE), at.keeper.revoke("drift"), at.desk.pause(ANN), at.desk.resume(OLE))
        await asyncio.gather(at.keeper.revoke("drift"), at.desk.pause(OLE))
        stored = await at.kept.ledger.controls()

        assert stored == at.stage.loop.memory.controls
        assert (stored.approved_weight, stored.paused) == (0.0, "by Ole")


# -- keeping -----------------------------------------------------------------------------------------------------------


async def test_a_command_that_comes_twice_is_new_once_and_every_one_is_in_the_chain(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        first = await at.desk.record_command(7, 1001, "Ann", "/pause", True)
        again = await at.desk.record_command(7, 1001, "Ann", "/pause", True)
        stranger = await at.desk.record_command(8, 1003, "x" * 200, "/status" * 200, False)
    async with office(tmp_path) as at:
        later = await at.desk.record_command(7, 1001, "Ann", "/pause", True)
        rows = await at.kept.chat.audit_rows()

    assert (first, again, stranger, later) == (True, False, True, False)
    assert [(row["action"], row["user_id"]) for row in rows] == [("refused", 1003), ("command", 1001)]
    assert len(str(rows[0]["detail"])) == 500
    assert broken_link(reversed(rows)) is None


async def test_closing_a_pair_that_nobody_knows_names_those_that_are(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        with pytest.raises(UsageError, match="XRP/USDT is not among the pairs: LINK, ETH, SOL"):
            await at.desk.plan_close("XRP")
