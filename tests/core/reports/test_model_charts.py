"""Pictures of what a model is worth: the same bytes each time, and all words in them can be read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure

from core.config import Ml
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import Evaluation, walk_forward
from core.ml.importance import Importance
from core.ml.measures import Bucket
from core.ml.on_off import OnOff, on_off
from core.ml.slices import Slice, Slices
from core.reports import model_charts
from core.reports.model_charts import (
    MOST_FEATURES,
    Row,
    calibration_chart,
    forest_chart,
    importance_chart,
    on_off_chart,
    slices_chart,
)
from tests.core.ml.planted import table
from tests.core.reports.test_layout import assert_readable

Drawn = Callable[[], Figure]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figure that was drawn last, before it became a PNG."""
    kept: list[Figure] = []
    monkeypatch.setattr(model_charts, "png", lambda figure: kept.append(figure) or b"")  # type: ignore[func-returns-value]
    return lambda: kept[-1]


@cache
def evaluated(n: int = 300) -> tuple[Dataset, Evaluation]:
    rows = from_table(table(n, effect=1.0))
    return rows, walk_forward(rows, Ml(), looking=True)


def switched(n: int = 300) -> OnOff:
    rows, found = evaluated(n)
    both = on_off(rows, found, Ml())
    assert both is not None
    return both


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", png[16:24])
    return wide, high


def test_every_picture_is_as_wide_as_a_phone_and_the_same_each_time() -> None:
    _, found = evaluated()
    assert found.importance is not None
    assert found.slices is not None
    draws: tuple[Callable[[], bytes], ...] = (
        lambda: calibration_chart(found.metrics.calibration, "Calibration", 0.4, found.probability),
        lambda: importance_chart(found.importance or (), "What it looks at"),
        lambda: on_off_chart(switched(), "Model on and off"),
        lambda: slices_chart(found.slices or Slices(()), "AUC by slice"),
    )
    for draw in draws:
        assert size(draw())[0] == 1080
        assert draw() == draw()


def test_calibration_is_drawn_with_and_without_what_was_said() -> None:
    buckets = [Bucket(0.3, 0.4, 40, 0.36, 0.3, 0.2, 0.45), Bucket(0.9, 1.0, 1, 1.0, 1.0), Bucket(0.0, 0.1, 2, 0, 0)]

    assert size(calibration_chart(buckets, "Calibration", 0.36)) == (1080, 810)
    assert size(calibration_chart(buckets, "Calibration", 0.36, np.array([0.36] * 40))) == (1080, 810)
    with pytest.raises(ValueError, match="no predictions"):
        calibration_chart([], "Calibration")


@pytest.mark.parametrize("n", [90, 300])
def test_words_lie_apart(drawn: Drawn, n: int) -> None:
    _, found = evaluated(n)
    draws: tuple[Callable[[], bytes], ...] = (
        lambda: importance_chart(found.importance or (), "What xgb-v2-01234567 looks at"),
        lambda: on_off_chart(switched(n), "Model on and off, xgb-v2-01234567"),
        lambda: slices_chart(found.slices or Slices(()), "AUC by slice, xgb-v2-01234567"),
    )
    for draw in draws:
        draw()
        assert_readable(drawn())


def test_more_features_than_there_is_room_for_are_left_out_and_counted(drawn: Drawn) -> None:
    many = [Importance(f"a_feature_with_a_long_name_{i:02d}", 0.1 / (i + 1), 0.001, -0.002, 0.004) for i in range(40)]

    importance_chart(many, "What it looks at")

    text = " ".join(t.get_text().replace("\n", " ") for t in drawn().texts)
    assert text.count("a feature with a long name") == MOST_FEATURES
    assert f"The {40 - MOST_FEATURES} least used are left out." in text
    assert "of 40 intervals 2.0 would miss 0 by chance" in text
    assert_readable(drawn())


def test_a_row_without_a_figure_says_so_and_one_without_an_interval_has_none(drawn: Drawn) -> None:
    rows = [Row("pair"), Row("LINKUSDT", 12), Row("ETHUSDT", 40, 0.61), Row("SOLUSDT", 90, 0.4, 0.31, 0.49)]

    forest_chart("AUC", rows, "No slice alone proves anything.")

    texts = [t.get_text() for t in drawn().texts]
    assert "too few" in texts
    assert "0.61" in texts
    assert "0.40  0.31–0.49" in texts
    assert_readable(drawn())


def test_a_model_that_took_nothing_is_drawn(drawn: Drawn) -> None:
    rows, found = evaluated()
    both = on_off(rows, found, Ml(threshold=1.0))
    assert both is not None

    on_off_chart(both, "Model on and off")

    assert any("0 taken" in t.get_text() for t in drawn().texts)
    assert_readable(drawn())


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="no feature"):
        importance_chart((), "x")
    with pytest.raises(ValueError, match="nothing to draw"):
        slices_chart(Slices(()), "x")
    with pytest.raises(ValueError, match="nothing to draw"):
        forest_chart("x", [], "")


def test_hours_are_left_to_the_table(drawn: Drawn) -> None:
    one = Slice("hour", "07", 30, 0.4, 0.5, 0.4, 0.6, 0.0, 1.0, -1.0)
    other = Slice("pair", "LINKUSDT", 30, 0.4, 0.5, 0.4, 0.6, 0.0, 1.0, -1.0)

    slices_chart(Slices((other, one)), "AUC")

    assert "07" not in [t.get_text() for t in drawn().texts]
