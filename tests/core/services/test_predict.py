"""The champion, asked through the worker process."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.adapters.model_files import ModelFiles
from core.config import Ml
from core.domain.candles import Pair, Timeframe, to_ms
from core.domain.trading import Candidate, Direction, Levels
from core.errors import ModelError
from core.ml.dataset import from_table
from core.ml.features import features_v1
from core.ports import Prediction
from core.services.predict import ChampionPredictor, predict_with
from core.services.train import train_from_table
from core.services.worker import Worker
from tests.core.ml.planted import table
from tests.core.ml.test_features import snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
END = to_ms(NOW)
V1 = Ml(features="v1")
CANDIDATE = Candidate(
    Pair("LINK", "USDT"),
    Timeframe.parse("15m"),
    Direction.LONG,
    snapshot(),
    Levels(Direction.LONG, 10.0, 9.8, (10.3, 10.5, 10.8)),
    (),
)


@pytest.fixture
def models(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "models")


async def test_it_says_why_there_is_no_opinion_answers_with_one_and_follows_the_files(models: ModelFiles) -> None:
    async with Worker() as worker:
        predictor = ChampionPredictor(worker, models, lambda: "learning 31/50")
        assert await predictor.predict(features_v1(CANDIDATE.snapshot)) == "learning 31/50"
        assert predictor.model_id is None

        first = train_from_table(table(120), V1, models, NOW, page=False)
        found = await predictor.predict(features_v1(CANDIDATE.snapshot))
        assert isinstance(found, Prediction)
        assert found.model_id == first.model_id == predictor.model_id
        assert found == predict_with(models, features_v1(CANDIDATE.snapshot))

        (models.root / f"{first.model_id}.json").write_bytes(b"hello")
        models.root.joinpath("champion.json").touch()
        damaged = await predictor.predict(features_v1(CANDIDATE.snapshot))
        assert isinstance(damaged, str)
        assert "train again" in damaged


def asked(models: ModelFiles, at: int = END, direction: Direction | None = Direction.LONG) -> Prediction:
    found = predict_with(models, features_v1(CANDIDATE.snapshot), direction, at)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion that learned from 120 signals."""
    folder = tmp_path_factory.mktemp("learned") / "models"
    train_from_table(table(120), V1, ModelFiles(folder), NOW, page=False)
    return folder


@pytest.fixture
def learned(folder: Path, tmp_path: Path) -> ModelFiles:
    return ModelFiles(Path(shutil.copytree(folder, tmp_path / "models")))


def test_a_prediction_brings_the_nearest_signals_of_its_direction_that_had_ended(learned: ModelFiles) -> None:
    rows = from_table(table(120), features="v1")
    ended = dict(zip(rows.time.tolist(), rows.end_time.tolist(), strict=True))
    middle = int(rows.time[60])
    for direction in Direction:
        for at in (END, middle):
            found = asked(learned, at, direction).neighbours
            assert len(found) == 5
            assert all(n.direction is direction and ended[n.decided_at] <= at for n in found)
    assert asked(learned, middle).neighbours != asked(learned).neighbours
    assert asked(learned, int(rows.time[0])).neighbours == ()
    assert asked(learned, direction=None).neighbours == ()


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_without_its_past_signals_a_model_still_answers(
    learned: ModelFiles, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = asked(learned)
    [path] = learned.root.glob("*.samples.json")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "cut" else b"{}")
    learned.root.joinpath("champion.json").touch()

    assert asked(learned) == replace(whole, neighbours=())
    assert "no past signals are shown" in caplog.text


def test_past_signals_are_read_once_per_champion(learned: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    beside = ModelFiles.beside

    def counted(self: ModelFiles, model_id: str, name: str) -> bytes | None:
        reads.append(name)
        return beside(self, model_id, name)

    monkeypatch.setattr(ModelFiles, "beside", counted)
    assert asked(learned) == asked(learned)
    assert reads.count("samples.json") == 1


async def test_a_closed_worker_is_started_again(models: ModelFiles) -> None:
    worker = Worker()
    predictor = ChampionPredictor(worker, models)
    assert await predictor.predict(features_v1(CANDIDATE.snapshot)) == "no model yet"
    await worker.close()
    assert await predictor.predict(features_v1(CANDIDATE.snapshot)) == "no model yet"
    await worker.close()


def test_a_size_model_that_knows_something_ranks_the_signal(models: ModelFiles) -> None:
    train_from_table(table(400, effect=1.5), V1, models, NOW, page=False)
    features = features_v1(CANDIDATE.snapshot)
    low, high = (predict_with(models, features | {"entry_adx": adx}) for adx in (26.0, 44.0))

    assert low is not None
    assert high is not None
    assert low.size_rank is not None
    assert high.size_rank is not None
    assert 0 <= low.size_rank < 0.4 < 0.6 < high.size_rank <= 1


def test_a_size_model_that_knows_nothing_has_no_say(learned: ModelFiles) -> None:
    assert asked(learned).size_rank is None


def test_a_damaged_size_model_is_named_for_money_follows_it(learned: ModelFiles) -> None:
    (path,) = learned.root.glob("*.sizing.json")
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(ModelError, match=r"sizing\.json is not the file its manifest describes .* train again"):
        predict_with(learned, features_v1(CANDIDATE.snapshot))


class _Counted(Worker):
    """A worker that notes how many questions each of its jobs held."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[int] = []

    async def run_next(self, function: Any, *arguments: Any, **named: Any) -> Any:
        self.jobs.append(len(arguments[1]))
        return await super().run_next(function, *arguments, **named)


async def test_all_that_is_asked_at_one_close_is_one_job_and_each_gets_its_own_answer(learned: ModelFiles) -> None:
    whole = features_v1(CANDIDATE.snapshot)
    other = whole | {"entry_rsi": 31.0}
    async with _Counted() as worker:
        predictor = ChampionPredictor(worker, learned)
        first, lacking, second = await asyncio.gather(
            predictor.predict(whole), predictor.predict({}), predictor.predict(other)
        )
        late = await predictor.predict(whole)

    assert worker.jobs == [3, 1]
    assert first == late == predict_with(learned, whole)
    assert second == predict_with(learned, other) != first
    assert isinstance(lacking, str)
    assert "needs the feature" in lacking


async def test_who_stops_waiting_takes_no_answer_from_the_others(learned: ModelFiles) -> None:
    whole = features_v1(CANDIDATE.snapshot)
    async with Worker() as worker:
        predictor = ChampionPredictor(worker, learned)
        patient, hasty = (asyncio.create_task(predictor.predict(whole)) for _ in range(2))
        await asyncio.sleep(0.01)
        hasty.cancel()

        assert isinstance(await patient, Prediction)


async def test_a_worker_that_dies_is_told_to_all_who_asked(learned: ModelFiles) -> None:
    async with Worker() as worker:
        predictor = ChampionPredictor(worker, learned)
        asked = [asyncio.create_task(predictor.predict(features_v1(CANDIDATE.snapshot))) for _ in range(2)]
        await asyncio.sleep(0.01)
        await worker.close()

        answers = await asyncio.gather(*asked)
    assert all(isinstance(answer, str) for answer in answers)
    assert "ended before its work was done" in str(answers[0])
