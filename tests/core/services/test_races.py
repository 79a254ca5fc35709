"""What comes at the same time, or is cut off in between: nothing granted to another model, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.domain.messages import ApprovalAsked, Notice
from core.errors import UsageError
from core.ml.gate import Look
from tests.core.services.test_gatekeeper import ANN, OLE, Desk, desk, live, outcome_effect, ready
from tests.core.services.test_rules import rules
from tests.ledgers import settings
from tests.thrones import better, saved, throne, trained


async def waiting_on(lock: asyncio.Lock) -> None:
    """Until somebody stands in line for a lock that is held."""
    async with asyncio.timeout(5):
        while not getattr(lock, "_waiters", None):  # noqa: ASYNC110 - a lock tells nobody who waits
            await asyncio.sleep(0)


async def cards(at: Desk) -> int:
    return sum(isinstance(item.event, ApprovalAsked) for item in await at.kept.chat.pending(200))


async def test_a_lapse_that_waited_writes_over_no_weight_that_was_taken_away_meanwhile(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        await at.approvals.answer(await at.ask(), True, ANN)
        weighted = replace(at.stage.loop.memory.controls, approved_weight=0.25, approved_model="m1")
        at.stage.loop.memory.controls = weighted
        async with at.stage.loop.changing:
            taking_back = asyncio.create_task(at.keeper.back_to_config(ANN))
            await waiting_on(at.stage.loop.changing)
            at.stage.loop.memory.controls = replace(weighted, approved_weight=0.0, approved_model=None)
        await taking_back

        assert at.stage.loop.memory.controls.approved_weight == 0
        assert (await at.kept.ledger.controls()).approved_weight == 0
        assert await at.changed() == {}


async def test_a_yes_grants_nothing_where_another_model_came_while_it_waited(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        async with at.stage.loop.changing:
            answering = asyncio.create_task(at.answer(number, True, ANN))
            await waiting_on(at.stage.loop.changing)
            at.school.now_uses("m2")
        with pytest.raises(UsageError, match="m1 is no longer the champion"):
            await answering
        card = await at.kept.chat.approval(number)

        assert card is not None
        assert card.state == "withdrawn"
        assert at.stage.loop.memory.controls.approved_weight == 0


async def test_a_promotion_is_not_granted_over_a_champion_it_was_never_compared_with(tmp_path: Path) -> None:
    async with throne(tmp_path, config=settings(ml={"auto_takeover": False})) as at:
        saved(at.files, "new", parent="first")
        saved(at.files, "third", parent="first")
        await at.takeovers.after_training(trained("new", better("first", "new")))
        number = await at.approvals.waiting()
        assert number is not None
        async with at.stage.loop.changing:
            answering = asyncio.create_task(at.approvals.answer(number, True, ANN))
            await waiting_on(at.stage.loop.changing)
            at.files.promote("third")
        with pytest.raises(UsageError, match="compared with first, which is no longer the champion"):
            await answering

        assert at.files.champion_id() == "third"


async def test_a_card_whose_look_has_been_followed_by_one_that_says_no_grants_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        looks = await at.keeper.looks()
        body = json.loads((await at.kept.chat.looks("main"))[-1]) | {"index": len(looks) + 1, "state": "weak"}
        await at.kept.chat.save_look("main", len(looks) + 1, 100, 0, 0.01, "weak", json.dumps(body))
        with pytest.raises(UsageError, match="outcomes says no"):
            await at.answer(number, True, ANN)


async def test_two_who_ask_at_once_get_one_card(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        await at.answer(number, False, ANN)
        before = await cards(at)
        one, two = await asyncio.gather(at.keeper.ask(0.25, OLE), at.keeper.ask(0.25, ANN))

        assert one.approval_id == two.approval_id
        assert await cards(at) == before + 1


async def test_a_look_taken_before_a_kill_brings_what_it_had_to_bring_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(look: Look) -> None:
        raise asyncio.CancelledError

    async with desk(tmp_path) as at:
        await live(at, 60, skilled=True)
        monkeypatch.setattr(at.keeper, "_after_look", killed)
        with pytest.raises(asyncio.CancelledError):
            await at.keeper.review()
        assert [look.state for look in await at.keeper.looks()] == ["ready"]
        assert await cards(at) == 0
    for _ in range(2):
        async with desk(tmp_path) as again:
            await again.keeper.review()
            assert await cards(again) == 1


async def test_a_red_flag_seen_before_a_kill_takes_the_weight_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(look: Look) -> None:
        raise asyncio.CancelledError

    async with desk(tmp_path) as at:
        for number in range(50):
            await at.kept.ledger.commit(outcome_effect(number, 0.9, won=number % 4 == 0, trade=True))
        body = replace(at.stage.loop.memory.controls, approved_weight=0.25, approved_model="m1")
        await at.kept.ledger.set_controls(body)
        at.stage.loop.memory.controls = body
        monkeypatch.setattr(at.keeper, "_after_look", killed)
        with pytest.raises(asyncio.CancelledError):
            await at.keeper.review()
        look = (await at.keeper.looks())[-1]
        assert look.accuracy is not None
        assert look.accuracy < 0.5
    for _ in range(2):
        async with desk(tmp_path) as again:
            await again.keeper.review()
            told = [item.event for item in await again.kept.chat.pending(50) if isinstance(item.event, Notice)]
            assert (await again.kept.ledger.controls()).approved_weight == 0
            assert ["live accuracy" in n.detail.lower() for n in told] == [True]


async def test_a_weight_that_a_person_set_to_0_is_not_asked_for_again_at_a_start(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.answer(await ready(at), True, ANN)
        await at.keeper.ask(0.0, ANN)
        before = await cards(at)
    async with desk(tmp_path) as again:
        await again.keeper.review()
        assert await cards(again) == before


async def test_a_part_of_the_review_that_fails_keeps_no_other_from_its_turn(tmp_path: Path) -> None:
    class Broken:
        async def review(self, *_: Any) -> None:
            raise OSError("disk I/O error")

        async def reason(self, *_: Any) -> str:
            raise TypeError("a look of another version")

    async with desk(tmp_path) as at:
        await live(at, 60, skilled=True)
        at.keeper._drift = Broken()  # type: ignore[assignment]
        await at.keeper.review()
        assert len(await at.keeper.looks()) == 1
