"""Training through the desk: one at a time, and what a new champion does to the weight."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from core.adapters.model_files import ModelFiles
from core.domain.ledger import Controls
from core.domain.messages import ModelTrained, Notice
from core.errors import UsageError
from core.ml.challenge import Comparison
from core.ports import StoredApproval
from core.services.champion import ChampionInfo
from core.services.views import TrainingView
from tests.markets import START
from tests.offices import ANN, OLE, office, trained
from tests.thrones import no_better, saved


async def test_one_training_at_a_time(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.school.let = asyncio.Event()
        heard: list[str] = []
        first = asyncio.create_task(at.desk.retrain(OLE, lambda text, done: heard.append(text)))
        await asyncio.sleep(0.02)
        with pytest.raises(UsageError, match="already running"):
            await at.desk.retrain(ANN, lambda text, done: None)
        at.school.let.set()
        assert (await first).sentence == "ML learning 31/50"
        await at.desk.retrain(ANN, lambda text, done: None)

    assert heard == ["history"]


def approval(weight: float) -> StoredApproval:
    return StoredApproval(0, "weight", "pending", "May it?", (), weight, "main", "m1", "Ann", START, START + 10**12)


async def test_a_new_champion_takes_the_weight_away_and_open_questions_with_it(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.school.champion = ChampionInfo("m1", {}, 400)
        await at.kept.ledger.set_controls(Controls(approved_weight=0.5, approved_model="m1"))
        at.stage.loop.memory.controls = await at.kept.ledger.controls()
        number = await at.kept.chat.ask(
            approval(0.75), lambda n: Notice(key="x", time=at.desk.now(), topic="weight", title="asked")
        )
        saved(ModelFiles(tmp_path / "models"), "m2")
        alone = Comparison(None, "m2", 0, True, "it is the first model and becomes champion")
        at.school.result = replace(trained("m2", False), comparison=alone)
        await at.desk.retrain(ANN, lambda text, done: None)
        view = await at.desk.approval(number)
        events = [item.event for item in await at.kept.chat.pending(100)]

        assert at.stage.loop.memory.controls.approved_weight == 0.0
        assert await at.kept.ledger.controls() == at.stage.loop.memory.controls
        assert view is not None
        assert (view.state, view.answer_note) == ("withdrawn", "m2 has become the champion")
        assert [e.model_id for e in events if isinstance(e, ModelTrained)] == ["m2"]
        assert "The model's weight 0.5 is taken away" in [e.title for e in events if isinstance(e, Notice)]


SAME = replace(trained("m1", True), comparison=no_better("m1", "m1"))
STAYS = replace(trained("m2", False), comparison=no_better("m1", "m2"))


@pytest.mark.parametrize("result", [STAYS, SAME, trained(None, False)])
async def test_a_training_that_changes_no_champion_changes_no_weight(tmp_path: Path, result: TrainingView) -> None:
    async with office(tmp_path) as at:
        at.school.champion, at.school.result = ChampionInfo("m1", {}, 400), result
        at.stage.loop.memory.controls = Controls(approved_weight=0.5, approved_model="m1")
        await at.desk.retrain(ANN, lambda text, done: None)

        assert at.stage.loop.memory.controls.approved_weight == 0.5
        assert await at.kept.chat.pending(10) == []
