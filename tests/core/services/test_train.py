"""Training as a use case: what is saved, who is champion, and what is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from core.adapters.model_files import ModelFiles
from core.config import Ml
from core.errors import DataError, ModelError
from core.services.train import TrainingReport, train_from_table
from tests.core.ml.planted import QUARTER, START, table

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def models(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "models")


def train(
    data: pd.DataFrame, models: ModelFiles, *, now: datetime = NOW, promote: bool = True, page: bool = False
) -> TrainingReport:
    return train_from_table(data, Ml(), models, now, promote=promote, page=page)


def test_the_first_model_becomes_champion_and_its_manifest_tells_all(models: ModelFiles) -> None:
    report = train(table(120), models)
    champion = models.champion()

    assert report.champion
    assert champion is not None
    assert champion.model_id == report.model_id
    manifest = champion.manifest
    assert (manifest.rows, manifest.sources, manifest.parent, manifest.line) == (
        120,
        {"backtest": 120},
        None,
        report.model_id,
    )
    assert manifest.created == "2026-01-01T00:00:00Z"
    assert manifest.metrics["walk_forward"]["n"] == report.walk_forward.metrics.n


def test_the_report_is_the_promised_json(models: ModelFiles) -> None:
    found = json.loads(json.dumps(train(table(120), models).to_json(), allow_nan=False))

    assert {
        *("model_id", "champion", "n", "accuracy", "majority", "auc", "auc_low", "auc_high", "brier", "brier_skill"),
        *("walk_forward", "random_split"),
    } <= set(found)
    assert found["n"] == 120
    assert found["walk_forward"]["auc"] == found["auc"]


def test_noise_is_called_what_it_is(models: ModelFiles) -> None:
    sentence = train(table(150), models).sentence

    assert sentence.startswith("150 samples, AUC 0.")
    assert sentence.endswith("on 90 unseen: it cannot be told from guessing")


def test_a_planted_effect_is_said_to_be_known(models: ModelFiles) -> None:
    sentence = train(table(500, effect=1.5), models).sentence

    assert sentence.endswith("it is better than guessing, and its probabilities beat the base rate")


def test_the_same_data_later_is_the_same_model_and_no_takeover(models: ModelFiles) -> None:
    first = train(table(120), models)
    content = {p.name: p.read_bytes() for p in models.root.iterdir()}
    again = train(table(120), models, now=datetime(2027, 1, 1, tzinfo=UTC))

    assert again.model_id == first.model_id
    assert again.champion
    assert "nothing is new" in again.takeover
    assert {p.name: p.read_bytes() for p in models.root.iterdir()} == content


def test_a_challenger_without_enough_new_signals_waits(models: ModelFiles) -> None:
    first = train(table(120), models)
    second = train(table(130), models)

    assert not second.champion
    assert "are needed to compare" in second.takeover
    assert models.champion_id() == first.model_id


def both(effect: float) -> pd.DataFrame:
    """120 signals of noise, and 600 later ones with an effect."""
    later = START + 130 * 20 * QUARTER
    return pd.concat([table(120), table(600, effect=effect, seed=2, start=later)], ignore_index=True)


def test_a_clearly_better_challenger_takes_over_and_keeps_the_line(models: ModelFiles) -> None:
    first = train(table(120), models)
    second = train(both(2.0), models)
    champion = models.champion()

    assert second.champion
    assert "takes over" in second.takeover
    assert champion is not None
    assert (champion.manifest.parent, champion.manifest.line) == (first.model_id, first.model_id)


def test_without_leave_to_promote_a_better_challenger_is_only_saved(models: ModelFiles) -> None:
    first = train(table(120), models)
    second = train(both(2.0), models, promote=False)

    assert not second.champion
    assert models.champion_id() == first.model_id
    assert second.model_id in models.ids()


def test_a_challenger_that_is_no_better_on_new_signals_does_not_take_over(models: ModelFiles) -> None:
    first = train(table(500, effect=1.0), models)
    longer = pd.concat([table(500, effect=1.0), table(150, effect=1.0, seed=3, start=START + 510 * 20 * QUARTER)])
    second = train(longer, models)

    assert not second.champion
    assert second.takeover.startswith(f"the champion {first.model_id} stays: squared error ")
    assert "which may be chance" in second.takeover
    assert models.champion_id() == first.model_id


def test_a_damaged_champion_is_mended_by_training(models: ModelFiles) -> None:
    first = train(table(120), models)
    (models.root / f"{first.model_id}.json").write_bytes(b"hello")
    second = train(table(130), models)

    assert second.champion
    assert "could not be read" in second.takeover
    assert models.champion() is not None


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (table(31), ModelError, "ML learning 31/50"),
        (table(60).assign(outcome=0), ModelError, "all 60 samples lost"),
        (table(60).drop(columns="outcome"), DataError, "no column outcome"),
        (table(60).assign(entry_rsi="x"), DataError, "entry_rsi is 'x'"),
    ],
)
def test_data_that_cannot_teach_leaves_the_champion(
    models: ModelFiles, data: pd.DataFrame, error: type[Exception], sentence: str
) -> None:
    train(table(120), models)
    before = {p.name: p.read_bytes() for p in models.root.iterdir()}

    with pytest.raises(error, match=sentence):
        train(data, models)

    assert {p.name: p.read_bytes() for p in models.root.iterdir()} == before


def test_progress_rises_to_the_end(models: ModelFiles) -> None:
    told: list[float] = []
    train_from_table(table(120), Ml(), models, NOW, progress=lambda _, done: told.append(done))

    assert told == sorted(told)
    assert told[-1] >= 0.95


def test_the_page_beside_a_model_tells_its_figures_and_its_line(models: ModelFiles) -> None:
    first = train(table(120), models, page=True)
    later = train(table(200, effect=1.0), models, page=True)
    page = (models.beside(later.model_id, "report.html") or b"").decode()

    assert f"<title>Model {later.model_id}</title>" in page
    assert f"<dt>line</dt><dd>{first.model_id}</dd>" in page
    assert f"<dt>compared with (its parent)</dt><dd>{first.model_id}</dd>" in page
    assert later.baseline.sentence in page
    assert f"{later.walk_forward.metrics.auc:.3f}" in page


def test_a_champion_made_again_keeps_its_parent(models: ModelFiles) -> None:
    first = train(table(120), models, page=True)
    (models.root / f"{first.model_id}.report.html").unlink()
    again = train(table(120), models, page=True)
    champion = models.champion()

    assert again.model_id == first.model_id
    assert champion is not None
    assert champion.manifest.parent is None
    assert models.beside(first.model_id, "report.html") is not None
