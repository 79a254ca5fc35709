"""Bad data and damaged files, from the command line to the disk: one clear sentence each, the champion untouched."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import bootstrap
from core.adapters.model_files import ModelFiles
from core.config import Gate, Ml
from core.errors import ModelError
from core.ml.dataset import from_table
from core.ml.evaluation import walk_forward
from core.ml.gate import ScoredPrediction, examine
from core.services.predict import predict_with
from core.services.train import TrainingReport, train_from_table
from tests.core.cli.calling import answer, called, refused
from tests.core.cli.test_learn import walk
from tests.core.ml.planted import QUARTER, START, table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("xgb", "forest", "logistic")
LATER = START + 130 * 20 * QUARTER


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a champion, a challenger and candles."""
    data = tmp_path_factory.mktemp("learned") / "data"
    for rows in (120, 140):
        train_from_table(table(rows, effect=1.0), Ml(), ModelFiles(data / "models"), NOW, page=False)
    bootstrap.candle_store(data).save(walk("LINK", 1, 400))
    return data


@pytest.fixture
def folder(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models of a copy of it; commands run beside it."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(learned, tmp_path / "data")) / "models"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def champion_of(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Everything that makes the champion what it is, by its bytes."""
    pointer = (folder / "champion.json").read_bytes()
    name = json.loads(pointer)["model_id"]
    return pointer, (folder / f"{name}.json").read_bytes(), (folder / "julaba_ml_v1.json").read_bytes()


def shuffled(n: int, seed: int) -> pd.DataFrame:
    """The newer ``n`` signals with a true effect whose results were dealt out anew: there is nothing to learn."""
    rows = table(n, effect=2.0, seed=seed, start=LATER)
    results = ["outcome", "outcome_net", "realized_r", "realized_r_net", "exit_reason", "tp1_hit", "duration_minutes"]
    dealt = rows[results].sample(frac=1, random_state=seed, ignore_index=True)
    return rows.assign(**{name: dealt[name] for name in results})


def retrained(folder: Path, rows: pd.DataFrame, kind: str = "xgb") -> TrainingReport:
    settings = Ml.model_validate({"model": kind})
    return train_from_table(rows, settings, ModelFiles(folder), NOW, page=False)


# -- shuffled labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_labels_cannot_be_told_from_guessing_and_take_nothing_over(folder: Path, kind: str) -> None:
    before = champion_of(folder)
    report = retrained(folder, pd.concat([table(120, effect=1.0), shuffled(500, 3)], ignore_index=True), kind)
    found = report.walk_forward.metrics

    assert found.auc_low is not None
    assert found.auc_high is not None
    assert found.auc_low <= 0.5 <= found.auc_high
    assert report.sentence.endswith("it cannot be told from guessing")
    assert not report.champion
    assert "stays" in report.takeover
    assert report.sizing is not None
    assert not report.sizing.counts
    assert champion_of(folder) == before


def test_the_gate_stays_shut_on_shuffled_labels_and_opens_on_true_ones() -> None:
    """The same walk-forward predictions as live evidence, once with the results dealt out anew."""
    looks = {}
    for name, rows in (("shuffled", shuffled(700, 3)), ("true", table(700, effect=2.0, seed=3))):
        dataset = from_table(rows)
        walked = walk_forward(dataset, Ml())
        evidence = [
            ScoredPrediction(
                decided_at=datetime.fromtimestamp(int(dataset.time[row]) / 1000, UTC),
                closed_at=datetime.fromtimestamp(int(dataset.end_time[row]) / 1000, UTC),
                probability=float(probability),
                outcome=int(dataset.y[row]),
                source="trade",
                model_id="m",
                pair="LINK/USDT",
                direction="LONG",
            )
            for row, probability in zip(walked.rows, walked.probability, strict=True)
        ]
        looked_at = evidence[-1].closed_at + timedelta(days=30)
        looks[name] = [examine(evidence, done, Gate(), looked_at).state for done in range(6)]

    assert "ready" not in looks["shuffled"]
    assert looks["true"][-1] == "ready"


# -- data that can hardly teach, or not at all -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_feature_is_learned_around_and_never_a_reason(folder: Path, kind: str) -> None:
    rows = table(300, effect=1.5, start=LATER).assign(entry_volume_ratio=1.0)
    rows.to_csv("rows.csv", index=False)
    trained = json.loads(json.dumps(retrained(folder, rows, kind).to_json(), allow_nan=False))
    asked = ModelFiles(folder).load(trained["model_id"])
    found = asked.predict(dict.fromkeys(asked.features, 1.0) | {"entry_volume_ratio": 3.0})

    assert trained["auc"] > 0.6
    assert ("entry_volume_ratio", 3.0, 0.0) in found.contributions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            table(60, start=LATER).assign(outcome=1),
            "all 60 samples won: there is nothing to tell apart; take more days or more pairs",
        ),
        (table(10, start=LATER), "10 samples, 50 are needed: take more pairs or more days"),
        (
            table(60, start=LATER).assign(
                **dict.fromkeys([name for name in table(1).columns if name.startswith("entry_")], np.nan)
            ),
            "no feature has a value in any sample",
        ),
        (table(60, start=LATER).drop(columns="entry_adx"), "the training data has no column entry_adx"),
    ],
    ids=["one class only", "10 rows", "NaN everywhere", "a feature missing"],
)
def test_rows_that_cannot_teach_are_one_sentence_and_change_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: pd.DataFrame, sentence: str, kind: str
) -> None:
    rows.to_csv("rows.csv", index=False)
    before = content(folder)
    code, out, err = called(capsys, "train", "--data", "rows.csv", "--model", kind)

    assert (code, out) == (1, "")
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: {sentence}")
    assert content(folder) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_in_every_feature_is_no_obstacle(folder: Path, kind: str) -> None:
    """Each row lacks a feature and each feature is lacking somewhere: missing is a value like any other."""
    rows = table(300, effect=1.5, start=LATER)
    names = [name for name in rows.columns if name.startswith("entry_")]
    for place, name in enumerate(names):
        rows[name] = rows[name].astype(object).where(np.arange(300) % len(names) != place, None)
    report = retrained(folder, rows, kind)
    asked = ModelFiles(folder).load(report.model_id)
    found = asked.predict(dict.fromkeys(asked.features, math.nan))

    assert report.walk_forward.metrics.auc is not None
    assert report.walk_forward.metrics.auc > 0.6
    assert 0 < found.probability < 1


def test_two_rows_of_one_class_in_the_newest_slice_still_make_a_model(folder: Path) -> None:
    """Early stopping has nothing to look at where the newest rows all ended alike: all trees are grown."""
    rows = table(200, effect=1.0, start=LATER)
    rows.loc[150:, ["outcome", "outcome_net"]] = 0
    report = retrained(folder, rows)

    assert ModelFiles(folder).load(report.model_id).manifest.trees == 100


def test_a_prediction_without_a_feature_names_it(folder: Path) -> None:
    files = ModelFiles(folder)
    champion = files.champion()
    assert champion is not None
    values = dict.fromkeys(champion.features, 1.0)
    del values["entry_hurst"]

    with pytest.raises(ModelError, match="the model needs the feature entry_hurst, which is not there; retrain it"):
        predict_with(files, values)


# -- damaged files -----------------------------------------------------------------------------------------------------


def cut_in_half(folder: Path, name: str) -> str:
    path = folder / f"{name}.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return f"{name}.json is not the file its manifest describes"


def of_another_model(folder: Path, name: str) -> str:
    """The manifest of a model that learned from other rows, under this one's name."""
    (other,) = set(ModelFiles(folder).ids()) - {name}
    foreign = replace(ModelFiles(folder).manifest(other), model_id=name)
    (folder / f"{name}.manifest.json").write_bytes(foreign.to_json())
    return f"{name}.json is not the file its manifest describes"


def other_features(folder: Path, name: str) -> str:
    path = folder / f"{name}.manifest.json"
    manifest = ModelFiles(folder).manifest(name)
    path.write_bytes(replace(manifest, features=(*manifest.features[:-1], "entry_luck")).to_json())
    return "the model has other features than its manifest"


def unreadable_manifest(folder: Path, name: str) -> str:
    path = folder / f"{name}.manifest.json"
    path.write_bytes(path.read_bytes()[:200])
    return "the manifest cannot be read or a part of it is missing"


Damage = Callable[[Path, str], str]
DAMAGES: tuple[Damage, ...] = (cut_in_half, of_another_model, other_features, unreadable_manifest)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_champion_is_named_stays_as_it_is_and_training_mends_it(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    name = ModelFiles(folder).champion_id()
    assert name is not None
    sentence = damage(folder, name)
    before = content(folder)

    refused(capsys, 1, sentence, "predict", "LINK/USDT")
    assert content(folder) == before

    table(130, effect=1.0).to_csv("rows.csv", index=False)
    trained = answer(capsys, "train", "--data", "rows.csv", "--model", "logistic")
    assert trained["champion"]
    assert sentence in trained["takeover"]
    assert answer(capsys, "predict", "LINK/USDT")["model_id"] == trained["model_id"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_challenger_cannot_become_champion(folder: Path, damage: Damage) -> None:
    files, before = ModelFiles(folder), champion_of(folder)
    (challenger,) = set(files.ids()) - {files.champion_id()}
    sentence = damage(folder, challenger)

    with pytest.raises(ModelError, match=sentence):
        files.promote(challenger)
    assert champion_of(folder) == before
    assert files.champion() is not None
