"""The champion, asked through the worker process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.model_files import ModelFiles
from core.config import Ml
from core.domain.candles import Pair, Timeframe
from core.domain.trading import Candidate, Direction, Levels
from core.ml.features import features_v1
from core.ports import Prediction
from core.services.predict import ChampionPredictor, predict_with
from core.services.train import train_from_table
from core.services.worker import Worker
from tests.core.ml.planted import table
from tests.core.ml.test_features import snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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

        first = train_from_table(table(120), Ml(), models, NOW)
        found = await predictor.predict(features_v1(CANDIDATE.snapshot))
        assert isinstance(found, Prediction)
        assert found.model_id == first.model_id == predictor.model_id
        assert found == predict_with(models, features_v1(CANDIDATE.snapshot))

        (models.root / f"{first.model_id}.json").write_bytes(b"hello")
        models.root.joinpath("champion.json").touch()
        damaged = await predictor.predict(features_v1(CANDIDATE.snapshot))
        assert isinstance(damaged, str)
        assert "train again" in damaged


async def test_a_closed_worker_is_started_again(models: ModelFiles) -> None:
    worker = Worker()
    predictor = ChampionPredictor(worker, models)
    assert await predictor.predict(features_v1(CANDIDATE.snapshot)) == "no model yet"
    await worker.close()
    assert await predictor.predict(features_v1(CANDIDATE.snapshot)) == "no model yet"
    await worker.close()
