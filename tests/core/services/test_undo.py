"""Taking changes back: the last one, only while it stands, by who may, and never half."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from core.domain.audit_chain import broken_link
from core.domain.ledger import Controls
from core.errors import StoreError, UsageError
from core.services.champion import ChampionInfo
from core.services.changing import Standing, facts, with_facts
from core.services.views import Actor
from tests.ledgers import market, settings
from tests.offices import ANN, ETH, FIRST, LAST, LINK, OLE, Office, office

VERA = Actor(1003, "Vera", "viewer")


async def undo(at: Office, actor: Actor = OLE) -> str:
    """What /undo does when the button is tapped, in words."""
    plan = await at.desk.topics.safety.undo.plan()
    assert plan.deed is not None
    done = await at.desk.topics.safety.undo.undo(plan.deed.deed_id, actor)
    return "; ".join(d.sentence for d in done.of.differences)


async def audited(at: Office) -> list[tuple[str, str, str]]:
    """Who, what and its detail, oldest first; the chain holds."""
    rows = list(reversed(await at.kept.chat.audit_rows()))
    assert broken_link(rows) is None
    return [(str(r["user_name"]), str(r["action"]), str(r["detail"])) for r in rows]


async def test_a_switch_is_taken_back_and_the_audit_says_by_whom(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", False, ANN)
        assert await undo(at) == "LINK/USDT: off → on"
        assert at.stage.loop.enabled(LINK)
        assert await audited(at) == [
            ("Ann", "switch_pair", "LINK/USDT: on → off"),
            ("Ole", "undo", "LINK/USDT: off → on · takes back change 1 by Ann"),
        ]
    async with office(tmp_path) as at:
        assert at.stage.loop.enabled(LINK)


async def test_each_kind_of_change_is_taken_back_newest_first(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        before = facts(at.desk._changer.standing())
        await at.desk.pause(ANN)
        await at.desk.resume(OLE)
        await at.desk.switch_pair("ETH", False, OLE)
        await at.desk.topics.safety.sizes.set("LINK/USDT", 0.5, OLE)
        await at.desk.topics.steering.set({"notify.signal": "none"}, OLE)
        said = [await undo(at) for _ in range(5)]
        after = facts(at.desk._changer.standing())
        plan = await at.desk.topics.safety.undo.plan()

    assert said == [
        "notify.signal: none → silent",
        "pairs.LINK/USDT.risk: 0.5 → 1",
        "ETH/USDT: off → on",
        "trading: running → paused by Ann",
        "trading: paused by Ann → running",
    ]
    assert after == before
    assert plan.deed is None


async def test_an_undo_can_be_taken_back_and_the_change_then_again(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", False, ANN)
        await undo(at)
        undoing = at.desk.topics.safety.undo
        plan = await undoing.plan()
        assert (plan.deed, plan.redo is not None) == (None, True)
        assert plan.redo is not None
        await undoing.undo(plan.redo.deed_id, ANN)
        assert not at.stage.loop.enabled(LINK)
        again = await undoing.plan()
        assert (again.deed is not None, again.redo) == (True, None)
        await undo(at)
        assert at.stage.loop.enabled(LINK)


async def test_what_was_changed_again_since_is_said_and_nothing_further_back_is_touched(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("ETH", False, OLE)
        await at.desk.switch_pair("LINK", False, OLE)
        await at.desk.switch_pair("LINK", True, OLE)
        await at.live.listing._stop(LINK, "is not listed by the exchange", None)
        plan = await at.desk.topics.safety.undo.plan()
        assert plan.blocked == "it was changed again since: LINK/USDT is off now"
        assert plan.deed is not None
        with pytest.raises(UsageError, match="changed again since"):
            await at.desk.topics.safety.undo.undo(plan.deed.deed_id, OLE)
        assert not at.stage.loop.enabled(ETH)


async def test_a_stale_button_never_takes_another_change_back(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", False, OLE)
        undoing = at.desk.topics.safety.undo
        stale = (await undoing.plan()).deed
        assert stale is not None
        await at.desk.switch_pair("ETH", False, ANN)
        await undoing.undo(stale.deed_id, OLE)
        assert (at.stage.loop.enabled(LINK), at.stage.loop.enabled(ETH)) == (True, False)
        with pytest.raises(UsageError, match="taken back before"):
            await undoing.undo(stale.deed_id, OLE)
        with pytest.raises(UsageError, match="there is no change 99"):
            await undoing.undo(99, OLE)


async def test_two_taps_at_once_take_it_back_once(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.pause(ANN)
        undoing = at.desk.topics.safety.undo
        found = await asyncio.gather(undoing.undo(1, ANN), undoing.undo(1, OLE), return_exceptions=True)
        assert [type(f) for f in found].count(UsageError) == 1
        assert at.stage.loop.memory.controls.paused == ""
        assert (await at.kept.db.rows("SELECT count(*) AS n FROM deeds"))[0]["n"] == 2


async def test_an_operator_cannot_undo_what_only_an_approver_may_change(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        changed = {"strategy.adx_min": {"from": settings().strategy.adx_min, "to": 33.0, "by": "Ann", "at": 7}}
        at.stage.loop.memory.controls = Controls(changes=changed)
        await at.desk.rules_to_config(ANN)
        plan = await at.desk.topics.safety.undo.plan()
        assert plan.deed is not None
        assert plan.deed.needs == "approver"
        for actor in (OLE, VERA):
            with pytest.raises(UsageError, match="needs an approver"):
                await at.desk.topics.safety.undo.undo(plan.deed.deed_id, actor)
        assert at.stage.loop.memory.controls.changes == {}
        assert await undo(at, ANN) == "strategy.adx_min: 10 → 33"
        assert at.stage.loop.memory.controls.changes == changed


async def test_a_viewer_undoes_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.pause(OLE)
        with pytest.raises(UsageError, match="needs an operator"):
            await at.desk.topics.safety.undo.undo(1, VERA)


async def test_a_pair_the_exchange_has_dropped_is_not_switched_on_by_an_undo(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", False, OLE)
        at.live.listing.notes[LINK] = "is not listed by the exchange"
        plan = await at.desk.topics.safety.undo.plan()
        assert plan.blocked == "LINK/USDT cannot be switched on: is not listed by the exchange"


async def test_a_setting_that_the_configuration_has_overtaken_is_not_brought_back(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.topics.steering.set({"notify.signal": "none"}, OLE)
        await at.desk.topics.steering.set({"notify.signal": "silent"}, OLE)
    async with office(tmp_path, config=settings(notify={"signal": "loud"})) as at:
        plan = await at.desk.topics.safety.undo.plan()
        assert plan.blocked == "notify.signal cannot be as it was: the configuration has become loud since"


async def test_what_cannot_be_taken_back_is_named_with_what_to_do_instead(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.school.champion = ChampionInfo("m1", {}, 400)
        at.stage.loop.memory.controls = Controls(approved_weight=0.25, approved_model="m1")
        await at.desk.switch_pair("LINK", False, OLE)
        at.stage.clock.advance(at.stage.clock.now().replace(minute=at.stage.clock.now().minute + 1))
        await at.desk.ask_weight(0, ANN)
        await at.desk.retrain(ANN, lambda words, done: None)
        plan = await at.desk.topics.safety.undo.plan()

    assert plan.deed is not None
    assert plan.deed.subject == "switch_pair"
    assert [(f.what, f.by) for f in plan.finals] == [("a training", "Ann"), ("the weight set to 0", "Ann")]


async def test_a_weight_set_to_0_is_audited_with_before_and_after_and_is_no_deed(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.school.champion = ChampionInfo("m1", {}, 400)
        at.stage.loop.memory.controls = Controls(approved_weight=0.25, approved_model="m1", granted_by=3)
        await at.desk.ask_weight(0, OLE)
        assert ("Ole", "weight", "weight: 0.25 → 0") in await audited(at)
        assert (await at.desk.topics.safety.undo.plan()).deed is None
        assert (await at.kept.ledger.controls()).granted_by == 0


async def test_a_limit_s_pause_once_lifted_cannot_be_brought_back(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        loop = at.stage.loop
        poor = replace(loop.account, cash=7_900.0, drawdown_paused=True, drawdown_warned=True)
        loop.memory.book = replace(loop.memory.book, account=poor)
        await at.desk.resume(ANN)
        assert (await at.kept.ledger.load()).account == loop.account
        assert await audited(at) == [
            ("Ann", "resume", "drawdown pause, counted from a peak of: 10,000.00 → 7,900.00"),
        ]
        plan = await at.desk.topics.safety.undo.plan()
        assert (plan.deed, [f.what for f in plan.finals]) == (None, ["a limit's pause lifted"])


async def test_what_holds_something_that_cannot_come_back_cannot_be_taken_back_in_part(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        loop = at.stage.loop
        await at.desk.pause(OLE)
        loop.memory.book = replace(loop.memory.book, account=replace(loop.account, drawdown_paused=True))
        await at.desk.resume(ANN)  # both pauses at once
        newest = await at.kept.chat.newest_deed(undo=False)
        assert newest is not None
        assert newest.subject == "pause"
        assert (await at.desk.topics.safety.undo.plan()).blocked

        def both(now: Standing) -> Standing:
            return replace(now, controls=replace(now.controls, paused="by Ann", approved_weight=0.25))

        changed = await at.desk._changer.make(ANN, "set", both)
        assert changed is not None
        assert changed.deed == 0


# -- a broken disk -----------------------------------------------------------------------------------------------------


@contextmanager
def refused(at: Office) -> Iterator[None]:
    """Everything is written, and then the disk does not take the commit."""
    kept = at.kept.ledger.alter

    async def broken(change: object) -> int:
        async with at.kept.db.transaction():
            raise StoreError("the disk is full")

    at.kept.ledger.alter = broken  # type: ignore[method-assign]
    try:
        yield
    finally:
        at.kept.ledger.alter = kept  # type: ignore[method-assign]


async def test_on_a_broken_disk_nothing_is_half_done(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", False, OLE)
        with refused(at):
            for work in (
                at.desk.pause(ANN),
                at.desk.topics.safety.undo.undo(1, ANN),
                at.desk.topics.steering.set({"notify.signal": "none"}, ANN),
            ):
                with pytest.raises(StoreError):
                    await work
        assert (at.stage.loop.memory.controls.paused, at.stage.loop.enabled(LINK)) == ("", False)
        assert len(await audited(at)) == 1
        await at.desk.pause(ANN)  # the store is read anew, and all goes on
        assert not at.stage.loop.enabled(LINK)
        assert (await at.kept.ledger.controls()).paused == "by Ann"


async def test_a_commit_that_only_seemed_to_fail_is_what_counts_afterwards(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        kept = at.kept.ledger.alter

        async def lied(change: object) -> int:
            await kept(change)  # type: ignore[arg-type]
            raise StoreError("the disk went away")

        at.kept.ledger.alter = lied  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            await at.desk.switch_pair("LINK", False, OLE)
        at.kept.ledger.alter = kept  # type: ignore[method-assign]
        await at.desk.pause(ANN)
        assert not at.stage.loop.enabled(LINK)
        assert [await undo(at), await undo(at)] == ["trading: paused by Ann → running", "LINK/USDT: off → on"]


# -- /size -------------------------------------------------------------------------------------------------------------


async def test_a_size_reaches_the_next_trade_in_the_live_loop(tmp_path: Path) -> None:
    risks = {}
    for factor in (1.0, 0.5):
        async with office(tmp_path / str(factor)) as at:
            if factor != 1.0:
                await at.desk.topics.safety.sizes.set("link", factor, OLE)
            row = FIRST
            while (held := at.stage.loop.account.position(LINK)) is None and row < LAST:
                await at.stage.play(market(LAST), row, row + 1)
                row += 1
            assert held is not None
            risks[factor] = held.risk_amount, held.follow.entry_time

    assert risks[0.5][1] == risks[1.0][1]
    assert risks[0.5][0] == pytest.approx(risks[1.0][0] / 2)


async def test_a_size_shows_what_the_next_trade_risks_before_and_after(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        sizes = at.desk.topics.safety.sizes
        view = await sizes.set("ETH", 0.5, OLE)
        assert (view.risk, view.wanted_risk, view.room) == (200.0, 100.0, 400.0)
        now = sizes.view("ETH")
        assert (now.factor, now.configured, now.risk) == (0.5, 1.0, 100.0)
        assert next(p.risk for p in await at.desk.pairs() if p.pair == str(ETH)) == 0.5
        for wrong in (0.0, 2.1, float("nan")):
            with pytest.raises(UsageError, match="above 0 and is at most 2"):
                sizes.view("ETH", wrong)
        with pytest.raises(UsageError, match="not among the pairs"):
            sizes.view("XRP", 1.0)


# -- the pieces --------------------------------------------------------------------------------------------------------


async def test_things_by_name_put_back_give_the_same_standing(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        start = at.desk._changer.standing()
        await at.desk.switch_pair("LINK", False, OLE)
        await at.desk.topics.steering.set({"notify.signal": "none", "pairs.LINK/USDT.risk": 0.5}, OLE)
        await at.desk.pause(OLE)
        now = at.desk._changer.standing()
        everything = {name: facts(start).get(name) for name in {*facts(start), *facts(now)}}

    assert with_facts(now, everything) == start


async def test_switching_what_is_switched_so_already_is_no_change(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.switch_pair("LINK", True, OLE)
        await at.desk.switch_pair("ETH", False, ANN)
        await at.desk.switch_pair("ETH", False, OLE)
        assert [a for _, a, _ in await audited(at)] == ["switch_pair"]
        assert (await at.desk.pairs())[1].note == "switched off by Ann"
