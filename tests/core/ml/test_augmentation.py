"""Noisy copies: as small as said, of training rows only, and never across the line between learned and tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Ml
from core.domain.candles import FloatArray
from core.ml import boosting, fitting
from core.ml.augmentation import augmented
from core.ml.dataset import Dataset, from_table, weights
from core.ml.evaluation import random_split, walk_forward
from core.ml.features import FEATURES_V2
from core.ml.fitting import Fitted, Kind, fit_once
from core.ml.parts import Part, parts_of
from tests.core.ml.planted import table

AUGMENT = Ml(augment=True)
KINDS: tuple[Kind, ...] = ("xgb", "forest", "logistic")


def data(n: int = 200, seed: int = 1) -> Dataset:
    return from_table(table(n, effect=1.0, seed=seed))


def wide(n: int = 3000) -> Dataset:
    """Rows with every feature of ``v2``, whose signed forms fit the plain ones."""
    rows, rng = data(n), np.random.default_rng(3)
    columns = dict(zip(rows.features, rows.X.T, strict=True))
    columns |= {name: rng.normal(size=n) for name in FEATURES_V2 if name not in columns}
    columns["direction_sign"] = np.where(rows.direction == "LONG", 1.0, -1.0)
    columns["signed_rsi"] = columns["direction_sign"] * (columns["entry_rsi"] - 50)
    return replace(rows, features=FEATURES_V2, X=np.column_stack([columns[name] for name in FEATURES_V2]))


def column(rows: Dataset, name: str) -> FloatArray:
    return rows.X[:, rows.features.index(name)]


def test_the_noise_is_as_small_as_said_and_the_rest_stays() -> None:
    rows = wide()
    copies = augmented(rows, 7)

    for name in ("entry_atr_percent", "entry_volume_ratio"):
        assert np.log(column(copies, name) / column(rows, name)).std() == pytest.approx(0.02, rel=0.1)
    for name, most in (("entry_rsi", 2.0), ("entry_adx", 1.0)):
        moved = np.abs(column(copies, name) - column(rows, name))
        assert 0.95 * most < moved.max() <= most
    touched = {"entry_atr_percent", "entry_volume_ratio", "entry_rsi", "entry_adx", "signed_rsi", "trend_strength"}
    touched |= {"return_4", "return_16", "return_96"}
    for name in set(rows.features) - touched:
        np.testing.assert_array_equal(column(copies, name), column(rows, name))


def test_what_is_made_of_a_noisy_value_moves_along() -> None:
    rows = wide()
    copies = augmented(rows, 7)

    for name in ("return_4", "return_16", "return_96", "trend_strength"):
        moved = column(copies, name) * column(copies, "entry_atr_percent")
        np.testing.assert_allclose(moved, column(rows, name) * column(rows, "entry_atr_percent"))
    signed = column(copies, "direction_sign") * (column(copies, "entry_rsi") - 50)
    np.testing.assert_array_equal(column(copies, "signed_rsi"), signed)


def test_missing_stays_missing_and_bounded_values_stay_in_bounds() -> None:
    rows = data()
    values = rows.X.copy()
    values[:5, rows.features.index("entry_rsi")] = (0.0, 0.1, 99.9, 100.0, np.nan)
    copies = augmented(replace(rows, X=values), 7)

    assert np.isnan(column(copies, "entry_rsi")[4])
    np.testing.assert_array_equal(np.isnan(copies.X), np.isnan(values))
    assert np.nanmin(column(copies, "entry_rsi")) >= 0
    assert np.nanmax(column(copies, "entry_rsi")) <= 100


def test_a_copy_has_its_originals_outcome_the_source_augmented_and_its_weight() -> None:
    rows = data()
    weight = weights(rows, int(rows.time[-1]), 180)
    learned, newest = parts_of(rows, weight, AUGMENT, stops=False)
    half = len(rows)

    assert newest is None
    assert (learned.copies, len(learned.rows)) == (half, 2 * half)
    assert set(learned.rows.source[half:].tolist()) == {"augmented"}
    np.testing.assert_array_equal(learned.rows.y[half:], rows.y)
    # A backtest counts 0.3 and its copy 0.2; together they are scaled to a mean of 1.
    np.testing.assert_allclose(learned.weight[half:] / learned.weight[:half], 2 / 3)
    assert learned.weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_copies_and_the_same_model(kind: Kind) -> None:
    rows, other = data(), Ml(augment=True, seed=8)
    one, two = (fit_once(rows, np.ones(200), AUGMENT, kind) for _ in range(2))

    assert one == two
    assert one.copies > 0
    assert one.payload != fit_once(rows, np.ones(200), Ml(), kind).payload
    assert not np.array_equal(augmented(rows, AUGMENT.seed).X, augmented(rows, other.seed).X)


def keys(rows: Dataset) -> set[tuple[str, int, str]]:
    """What a row has in common with every copy of it."""
    return set(zip(rows.pair.tolist(), rows.time.tolist(), rows.direction.tolist(), strict=True))


class Spy:
    """Sees the rows each fit learns from and stops on, and the rows it is asked about afterwards."""

    def __init__(self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[Dataset] = []
        self.stopped_on: list[Dataset | None] = []
        self.asked: list[Dataset] = []
        places = {row.tobytes(): place for place, row in enumerate(dataset.X)}
        fit_boosted, predict = boosting.fit_boosted, Fitted.predict

        def watched(learned: Part, newest: Part | None, *rest: object) -> tuple[bytes, int]:
            self.learned.append(learned.rows)
            self.stopped_on.append(newest.rows if newest else None)
            return fit_boosted(learned, newest, *rest)  # type: ignore[arg-type]

        def asked(fitted: Fitted, rows: FloatArray) -> FloatArray:
            self.asked.append(dataset.take(np.array([places[row.tobytes()] for row in rows])))
            return predict(fitted, rows)

        monkeypatch.setattr(fitting, "fit_boosted", watched)
        monkeypatch.setattr(Fitted, "predict", asked)


@pytest.mark.parametrize("evaluate", [walk_forward, random_split])
def test_no_copy_and_no_twin_of_an_evaluated_row_is_ever_on_the_other_side(
    evaluate: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data(300)
    spy = Spy(dataset, monkeypatch)
    found = evaluate(dataset, AUGMENT)  # type: ignore[operator]

    assert len(spy.learned) == len(spy.asked) == found.folds
    assert sum(len(rows) for rows in spy.asked) == len(found.rows)
    for learned, newest, asked in zip(spy.learned, spy.stopped_on, spy.asked, strict=True):
        copies = learned.take(learned.source == "augmented")
        assert len(copies) == len(learned) / 2
        assert not keys(learned) & keys(asked)
        assert "augmented" not in asked.source
        assert newest is None or not keys(learned) & keys(newest)
        assert newest is None or "augmented" not in newest.source
    assert any(newest is not None for newest in spy.stopped_on)
