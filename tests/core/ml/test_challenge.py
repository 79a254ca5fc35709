"""Champion against challenger: the same rows, new to both, and how sure the difference is."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from core.domain.candles import FloatArray, IntArray
from core.errors import ModelError
from core.ml.challenge import FEWEST_NEW, Comparison, compare
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import PURGE_MS, Evaluation
from core.ml.features import FEATURES_V1
from core.ml.intervals import auc_influence
from core.ml.manifest import Manifest
from core.ml.prediction import Champion
from tests.core.ml.planted import table

ADX = "entry_adx"


@dataclass(frozen=True)
class Says:
    """A model that says what one of its columns tells it, ``sharpness`` log-odds per 5 points of ADX."""

    column: int
    sharpness: float

    def probability(self, row: FloatArray) -> float:
        return float(self.predict(row[None, :])[0])

    def predict(self, rows: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(0.4 - self.sharpness * (rows[:, self.column] - 35) / 5)))

    def contributions(self, row: FloatArray) -> FloatArray:
        raise NotImplementedError


def champion(
    sharpness: float, features: tuple[str, ...] = FEATURES_V1, until: int = 0, label: str = "gross"
) -> Champion:
    manifest = Manifest(
        "old", "xgb", features, label, 1, 100, {}, 0.4, "", "", 7, {}, "0", "2026-01-01T00:00:00Z", until, None, "old"
    )
    return Champion(manifest, Says(features.index(ADX) if ADX in features else 0, sharpness))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return from_table(table(600, effect=1.5))


@dataclass(frozen=True, eq=False)
class Walked:
    """All that a comparison wants of a walk-forward."""

    rows: IntArray
    probability: FloatArray


def walked(data: Dataset, sharpness: float, first: int = 200) -> Evaluation:
    """A walk-forward whose models said ``sharpness`` of the rows from ``first`` on."""
    rows = np.arange(first, len(data))
    said = Says(data.features.index(ADX), sharpness).predict(data.X[rows])
    return cast(Evaluation, Walked(rows, said))


def test_a_challenger_that_knows_more_is_better_with_its_interval(data: Dataset) -> None:
    found = compare(champion(0.0), "new", data, walked(data, 1.5))

    assert found.better
    assert found.n == 400
    assert found.champion is not None
    assert found.challenger is not None
    assert found.gain == pytest.approx(found.champion.brier - found.challenger.brier)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.gain < found.high  # type: ignore[operator]
    assert found.auc_low is not None
    assert found.auc_low > 0
    assert found.sentence.startswith("it does better than old: squared error lower by 0.0")


def test_a_challenger_that_knows_less_is_worse_and_said_to_be(data: Dataset) -> None:
    found = compare(champion(1.5), "new", data, walked(data, -1.0))

    assert not found.better
    assert found.worse
    assert found.sentence.endswith("it is worse")
    assert found.high is not None
    assert found.high < 0


def test_a_challenger_that_is_a_little_different_may_be_so_by_chance(data: Dataset) -> None:
    found = compare(champion(1.5), "new", data, walked(data, 1.4))

    assert not found.better
    assert not found.worse
    assert "which may be chance" in found.sentence


def test_the_champion_again_is_no_challenger(data: Dataset) -> None:
    found = compare(champion(0.0), "old", data, walked(data, 1.5))

    assert found.same
    assert not found.better
    assert "nothing is new" in found.sentence


def test_only_signals_decided_a_purge_after_the_last_outcome_the_champion_knew_count(data: Dataset) -> None:
    last = 450
    until = int(data.time[last]) - PURGE_MS
    found = compare(champion(0.0, until=until), "new", data, walked(data, 1.5))
    fewer = replace(data, is_signal=data.is_signal & (np.arange(len(data)) % 2 == 0))
    half = compare(champion(0.0, until=until), "new", fewer, walked(fewer, 1.5))

    assert found.n == len(data) - last - 1
    assert half.n == sum(row % 2 == 0 for row in range(last + 1, len(data)))


def test_too_few_new_signals_are_a_sentence_with_the_count(data: Dataset) -> None:
    until = int(data.time[-FEWEST_NEW]) - PURGE_MS
    found = compare(champion(0.0, until=until), "new", data, walked(data, 1.5))

    assert (found.n, found.gain, found.better) == (FEWEST_NEW - 1, None, False)
    assert "29 signals are new to it, 30 are needed" in found.sentence


def test_each_model_is_asked_with_its_own_columns(data: Dataset) -> None:
    alone = champion(0.7, (ADX, "entry_rsi"))
    whole = compare(champion(0.7), "new", data, walked(data, 1.5))

    assert compare(alone, "new", data, walked(data, 1.5)) == whole


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (champion(0.0, (ADX, "moon_phase")), r"features these samples lack \(moon_phase\)"),
        (champion(0.0, label="net"), "learned outcomes net of costs, the challenger gross"),
    ],
)
def test_what_cannot_be_compared_is_said_and_the_champion_stays(data: Dataset, other: Champion, sentence: str) -> None:
    found = compare(other, "new", data, walked(data, 1.5))

    assert not found.better
    assert found.gain is None
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found.sentence)


def test_signals_of_one_day_cannot_tell_two_models_apart(data: Dataset) -> None:
    crowded = replace(data, time=data.time[0] + np.arange(600), end_time=data.time[0] + 600 + np.arange(600))
    found = compare(champion(0.0, until=-(10**12)), "new", crowded, walked(crowded, 1.5))

    assert not found.better
    assert found.low is None
    assert "too few days" in found.sentence


def test_a_champion_that_gives_no_number_is_an_error(data: Dataset) -> None:
    with pytest.raises(ModelError, match="no number"):
        compare(champion(float("nan")), "new", data, walked(data, 1.5))


def test_a_comparison_goes_through_json(data: Dataset) -> None:
    for found in (compare(champion(0.0), "new", data, walked(data, 1.5)), compare(None, "new", data, walked(data, 1))):
        assert Comparison.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_equal_models_are_crowned_at_most_as_often_as_promised() -> None:
    """Both know the same and err in their own ways: how often the whole interval lies above 0, by chance alone."""
    rng = np.random.default_rng(4)
    crowned, trials = 0, 400
    base = from_table(table(160, effect=0.0))
    for _ in range(trials):
        truth = rng.uniform(0.25, 0.55, 160)
        outcome = (rng.random(160) < truth).astype(np.int64)
        data = replace(base, y=outcome, X=np.column_stack([truth + rng.normal(0, 0.1, 160)]), features=(ADX,))
        said = truth + rng.normal(0, 0.1, 160)
        walk = cast(Evaluation, Walked(np.arange(160), said))
        old = replace(champion(0.0, (ADX,), until=-(10**12)), model=_Plain())
        crowned += compare(old, "new", data, walk).better

    assert crowned / trials <= 0.045  # 2.5% wanted, and three standard errors of the trial


class _Plain(Says):
    def __init__(self) -> None:
        super().__init__(0, 0.0)

    def predict(self, rows: FloatArray) -> FloatArray:
        return rows[:, 0]


def test_the_influences_on_an_auc_sum_to_nothing() -> None:
    rng = np.random.default_rng(1)
    found = auc_influence(rng.random(50), rng.integers(0, 2, 50))

    assert found is not None
    assert found[1].sum() == pytest.approx(0, abs=1e-12)
    assert auc_influence(rng.random(5), np.ones(5, dtype=np.int64)) is None
