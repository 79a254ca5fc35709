"""Rules changed by a yes: stored with the answer, in force at the next candle, led back, and lapsed with a word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from core.config import Settings
from core.domain.messages import ApprovalAsked, ApprovalEnded, Notice
from core.errors import UsageError
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.rules import RuleKeeper
from core.services.views import Actor
from tests.ledgers import Books, Stage, books, settings

ANN = Actor(1001, "Ann", "approver")
OLE = Actor(1002, "Ole", "operator")
VAL = Actor(1003, "Val", "viewer")
LOOSER = {"strategy.adx_min": 5.0}


@dataclass
class At:
    keeper: RuleKeeper
    approvals: Approvals
    stage: Stage
    kept: Books

    async def ask(self, **more: object) -> int:
        return await self.keeper.ask({**LOOSER, **more}, "May ADX be lower?", ("Evidence.",), "Julaba")

    async def events(self) -> list[object]:
        return [item.event for item in await self.kept.chat.pending(20)]

    async def changed(self) -> dict[str, str]:
        return {v.name: f"{v.value} by {v.changed_by}" for v in await self.keeper.view() if v.changed_by}


@asynccontextmanager
async def rules(path: Path, config: Settings | None = None) -> AsyncIterator[At]:
    """The store's rules, as after a start with these settings."""
    config = config or settings()
    async with books(path) as kept:
        stage, bell = await Stage.begin(kept, 0, config), Bell()
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        keeper = RuleKeeper(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, approvals)
        yield At(keeper, approvals, stage, kept)


async def test_a_yes_changes_the_rule_and_survives_a_restart(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        number = await at.ask(**{"rules.btc": "veto"})
        assert at.keeper.in_force.strategy.adx_min == 10
        view = await at.approvals.answer(number, True, ANN)
        assert (view.kind, view.state, view.answered_by) == ("rule", "approved", "Ann")
        assert at.keeper.in_force.strategy.adx_min == 5
        assert [type(e) for e in await at.events()] == [ApprovalAsked, ApprovalEnded]
    async with rules(tmp_path) as again:
        assert again.stage.loop.in_force.strategy.adx_min == 5
        assert again.stage.loop.in_force.rules.btc == "veto"
        assert await again.changed() == {"rules.btc": "veto by Ann", "strategy.adx_min": "5 by Ann"}


async def test_a_no_changes_nothing_and_nobody_but_an_approver_answers(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        number = await at.ask()
        for somebody in (OLE, VAL):
            with pytest.raises(UsageError, match="only an approver"):
                await at.approvals.answer(number, True, somebody)
        await at.approvals.answer(number, False, ANN)
        with pytest.raises(UsageError, match="Ann rejected this"):
            await at.approvals.answer(number, True, ANN)
        assert await at.changed() == {}


async def test_a_yes_after_the_configuration_was_edited_withdraws_the_card(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        number = await at.ask()
    async with rules(tmp_path, settings(strategy={"adx_min": 30})) as edited:
        with pytest.raises(UsageError, match=r"withdrawn .* strategy\.adx_min has become 30 in the configuration"):
            await edited.approvals.answer(number, True, ANN)
        assert await edited.changed() == {}


async def test_a_yes_that_has_become_impossible_withdraws_the_card(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        number = await at.ask()
    async with rules(tmp_path, settings(variants={"same": {"adx_min": 5}})) as edited:
        with pytest.raises(UsageError, match=r"variants\.same is the strategy's own"):
            await edited.approvals.answer(number, True, ANN)
        assert await edited.changed() == {}


async def test_a_card_nobody_answers_expires_and_changes_nothing(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        number = await at.ask()
        at.stage.clock.advance(at.stage.clock.now() + timedelta(hours=73))
        with pytest.raises(UsageError, match=r"this has expired .*; ask again with /opens"):
            await at.approvals.answer(number, True, ANN)
        assert await at.changed() == {}
        assert await at.keeper.waiting() is None


async def test_an_impossible_change_is_not_even_asked(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        with pytest.raises(UsageError, match=r"paper\.risk_per_trade cannot be changed from the chat"):
            await at.keeper.ask({"paper.risk_per_trade": 0.1}, "More?", (), "Julaba")
        assert await at.kept.chat.open_approvals() == []


async def test_the_way_back_is_an_approvers(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        with pytest.raises(UsageError, match="as configured"):
            await at.keeper.back_to_config(ANN)
        await at.approvals.answer(await at.ask(), True, ANN)
        with pytest.raises(UsageError, match="only an approver"):
            await at.keeper.back_to_config(OLE)
        views = await at.keeper.back_to_config(ANN)
        assert not any(v.changed_by for v in views)
        assert at.keeper.in_force == settings()
    async with rules(tmp_path) as again:
        assert again.stage.loop.in_force.strategy.adx_min == 10


async def test_a_change_that_has_lapsed_is_told_once_and_does_not_come_back(tmp_path: Path) -> None:
    async with rules(tmp_path) as at:
        await at.approvals.answer(await at.ask(), True, ANN)
    async with rules(tmp_path, settings(strategy={"adx_min": 12})) as edited:
        for _ in range(2):
            await edited.keeper.review()
        told = [e for e in await edited.events() if isinstance(e, Notice)]
        assert [(n.title, n.detail) for n in told] == [
            (
                "A changed setting counts no longer: strategy.adx_min",
                "strategy.adx_min 10 → 5 has lapsed: the configuration has become 12 since. "
                "/rules shows what is in force.",
            )
        ]
    async with rules(tmp_path) as as_before:  # the old number is configured again: what has lapsed stays so
        assert as_before.keeper.in_force.strategy.adx_min == 10
