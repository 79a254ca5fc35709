"""Questions of any kind: what a yes changes is stored with the answer, once, or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from core.domain.ledger import Controls
from core.domain.messages import ApprovalEnded, Notice
from core.errors import UsageError
from core.ports import StoredApproval
from core.services.approvals import Granted, Kind, Question
from core.services.views import Actor
from tests.thrones import ANN, OLE, VAL, Throne, throne

QUESTION = Question("May it be?", ("because",), body='{"rules.btc": "veto"}')


def told(at: Throne) -> Notice:
    return Notice(key="rule:1", time=at.stage.clock.now(), topic="weight", title="a rule has changed")


def pausing(at: Throne, after: list[int]) -> Kind:
    """A kind of question whose yes pauses the bot and tells of it."""

    async def then(stored: StoredApproval) -> None:
        after.append(stored.approval_id)

    return Kind(
        apply=lambda stored, controls: Granted(replace(controls, paused="by approval"), (told(at),)),
        after=then,
        again=lambda stored: "/rule",
    )


async def test_a_yes_stores_controls_and_news_with_the_answer_and_does_the_rest_once(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        after: list[int] = []
        at.approvals.kinds["rule"] = pausing(at, after)
        number = await at.approvals.ask("rule", QUESTION, "Ole")
        answers = await asyncio.gather(
            *(at.approvals.answer(number, True, ANN) for _ in range(3)), return_exceptions=True
        )
        news = [e for e in await at.told() if isinstance(e, Notice | ApprovalEnded)]

        assert sum(isinstance(a, UsageError) for a in answers) == 2
        assert after == [number]
        assert (await at.kept.ledger.controls()).paused == at.stage.loop.memory.controls.paused == "by approval"
        assert {e.key for e in news} == {"approval:1:ended", "rule:1"}
        assert len(news) == 2


async def test_a_no_changes_nothing(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        after: list[int] = []
        at.approvals.kinds["rule"] = pausing(at, after)
        view = await at.approvals.answer(await at.approvals.ask("rule", QUESTION, "Ole"), False, ANN)

        assert (view.state, after) == ("rejected", [])
        assert await at.kept.ledger.controls() == Controls()


@pytest.mark.parametrize("actor", [OLE, VAL])
async def test_only_an_approver_answers_any_kind(tmp_path: Path, actor: Actor) -> None:
    async with throne(tmp_path) as at:
        at.approvals.kinds["rule"] = pausing(at, [])
        number = await at.approvals.ask("rule", QUESTION, "Ole")
        with pytest.raises(UsageError, match="only an approver"):
            await at.approvals.answer(number, True, actor)
        assert await at.approvals.waiting() == number


async def test_a_question_of_another_version_is_one_sentence(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        number = await at.approvals.ask("rule", QUESTION, "Ole")
        with pytest.raises(UsageError, match="asks for a rule, which this version cannot grant"):
            await at.approvals.answer(number, True, ANN)
        assert await at.approvals.waiting() == number


async def test_withdrawing_one_kind_leaves_the_others(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        at.approvals.kinds["rule"] = pausing(at, [])
        rule = await at.approvals.ask("rule", QUESTION, "Ole")
        weight = await at.approvals.ask("weight", replace(QUESTION, weight=0.25), "Ole")
        await at.approvals.withdraw("a new champion", "weight", "promote")
        ended = await at.approvals.view(weight)

        assert ended is not None
        assert (ended.state, ended.answer_note) == ("withdrawn", "a new champion")
        assert [a.approval_id for a in await at.approvals.open("rule")] == [rule]
        with pytest.raises(UsageError, match=r"withdrawn on .*: a new champion; ask again with /ml 0\.25"):
            await at.approvals.answer(weight, True, ANN)


async def test_a_kind_that_fails_to_apply_leaves_the_question_open(tmp_path: Path) -> None:
    def broken(stored: StoredApproval, controls: Controls) -> Granted:
        raise UsageError("the setting is gone")

    async with throne(tmp_path) as at:
        at.approvals.kinds["rule"] = Kind(broken)
        number = await at.approvals.ask("rule", QUESTION, "Ole")
        with pytest.raises(UsageError, match="the setting is gone"):
            await at.approvals.answer(number, True, ANN)
        assert await at.approvals.waiting() == number
        assert not at.stage.loop.changing.locked()
