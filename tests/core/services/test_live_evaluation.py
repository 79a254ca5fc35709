"""From the ledger of a bot that ran: what is judged was stored before it could be known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from core.adapters.sqlite_ledger import SqliteLedger
from core.adapters.sqlite_models import SqliteModels
from core.domain.ledger import DecisionRecord, Effect
from core.ports import Prediction
from core.services.live_evaluation import evidence_of, live_evaluation
from tests.core.cli.calling import answer, called
from tests.core.services.test_gatekeeper import outcome_effect
from tests.ledgers import Books, Stage, books, market, settings
from tests.markets import M15

FIRST, LAST = 320, 700


class Recording(SqliteLedger):
    """Numbers the commits and keeps in which of them each prediction was stored and each outcome became known."""

    commits = 0

    def begin(self) -> Recording:
        self.predicted: dict[int, tuple[int, DecisionRecord]] = {}
        self.closed: dict[int, int] = {}
        return self

    async def commit(self, effect: Effect) -> bool:
        self.commits += 1
        for decision in effect.decisions:
            self.predicted[decision.decision_id] = (self.commits, decision)
        for record in effect.follows:
            if record.follow.closed:
                self.closed.setdefault(record.decision_id, self.commits)
        return await super().commit(effect)


class Numbers:
    """A model whose every prediction is another number, so that it is seen which one was stored."""

    model_id = "counting"

    def __init__(self) -> None:
        self.said = 0

    async def predict(self, *asked: object) -> Prediction | str:
        self.said += 1
        return Prediction(self.model_id, 0.3 + self.said / 1000, ())


async def test_each_prediction_was_stored_in_an_earlier_step_than_the_outcome_that_scores_it(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        ledger = Recording(kept.db).begin()
        stage = await Stage.begin(Books(kept.db, ledger, kept.chat), FIRST, settings(), predictor=Numbers())
        for candles in market(LAST).values():
            stage.loop.warm(candles.rows(0, FIRST))
        await stage.play(market(LAST), FIRST, LAST)
        count = len(await evidence_of(ledger, None, "main"))
        await kept.chat.save_look("main", 1, count, 0, 0.001, "blocked", f'{{"n": {count}}}')
        found = await live_evaluation(ledger, kept.chat, None, "main")
        outcomes = await ledger.outcomes()

    assert found.metrics.n == len(found.decisions) == count >= 5
    assert found.models == {"counting": count}
    for number in found.decisions:
        commit, decision = ledger.predicted[number]
        assert commit < ledger.closed[number]
        assert decision.model_id == "counting"
        stored = next(o for o in outcomes if (o.pair, o.open_time) == (str(decision.pair), decision.open_time))
        assert stored.probability == decision.ml_probability
        assert decision.decided_at < stored.exit_time + M15.ms


async def test_only_the_outcomes_of_the_last_look_count_and_late_ones_are_counted_apart(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await plant(kept, 60)
        assert (await live_evaluation(kept.ledger, kept.chat, None, "main")).metrics.n == 0
        await kept.chat.save_look("main", 1, 50, 0, 0.001, "blocked", '{"n": 50}')
        found = await live_evaluation(kept.ledger, kept.chat, SqliteModels(kept.db), "main")

    assert (found.metrics.n, found.waiting, found.late) == (50, 10, 1)
    assert found.decisions == tuple(range(1, 51))
    assert {s.name for s in found.slices.of("regime")} == {"TRENDING"}


async def plant(kept: Books, count: int) -> None:
    """``count`` outcomes, one a day, and one more whose prediction came too late."""
    for number in range(count):
        won = number % 3 == 0
        assert await kept.ledger.commit(outcome_effect(number, 0.3 + 0.01 * (number % 20), won, trade=True))
    effect = outcome_effect(count, 0.9, won=True, trade=True)
    late = replace(effect.decisions[0], decided_at=effect.decisions[0].open_time + 12 * M15.ms)
    assert await kept.ledger.commit(replace(effect, decisions=(late,)))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    async def write() -> None:
        async with books(tmp_path) as kept:
            await plant(kept, 55)
            await kept.chat.save_look("main", 1, 50, 0, 0.001, "blocked", '{"n": 50}')

    asyncio.run(write())
    return tmp_path / "julaba.sqlite"


def test_the_command_tells_figures_slices_and_what_was_not_looked_at(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = called(capsys, "check", "live", "--ledger", str(ledger), "--png", str(ledger.parent / "live.png"))

    assert code == 0
    assert "On the 50 outcomes up to the gate's last look" in out
    assert "Predictions by model: m1 50. Left out as not older than their outcome: 1." in out
    assert "Outcomes since the look, not looked at: 5." in out
    assert (ledger.parent / "live.png").read_bytes().startswith(b"\x89PNG")
    assert answer(capsys, "check", "live", "--ledger", str(ledger))["decisions"] == list(range(1, 51))
