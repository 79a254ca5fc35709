"""The pictures of what layers are worth: a row per layer, a point per bucket, and none before there is a look."""

from __future__ import annotations

import numpy as np
import pytest

from core.config import Settings
from core.ml.lived import lived
from core.ml.scoreboard import scoreboard
from core.ml.worth import layer_report
from core.reports.worth_charts import calibration_chart, layers_chart
from tests.lived import AGAINST, AGREES, Row, outcomes, signal
from tests.markets import START

SETTINGS = Settings()


def rows(n: int) -> list[Row]:
    rng = np.random.default_rng(3)
    return [
        signal(
            i,
            gross,
            alignment=AGAINST if rng.random() < (0.8 if gross < 0 else 0.2) else AGREES,
            gemini=(bool(rng.random() < 0.6), float(rng.uniform(0.4, 1.0))),
        )
        for i, gross in enumerate(outcomes(n, 3), 1)
    ]


def size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_the_layers_are_drawn_as_wide_as_a_phone_and_the_same_each_time() -> None:
    report = layer_report(lived(rows(120)), SETTINGS, 0.0)
    first = layers_chart(report)

    assert size(first)[0] == 1080
    assert layers_chart(report) == first
    assert report.layer("alignment").verdict == "helps"
    assert layers_chart(layer_report(lived(rows(120)[:60]), SETTINGS, 0.0)) != first


def test_the_confidence_is_drawn_against_what_won() -> None:
    planted = rows(120)
    board = scoreboard([d for d, _ in planted], lived(planted), SETTINGS.gemini, 0.7, START)

    assert size(calibration_chart(board))[0] == 1080


def test_before_the_first_look_there_is_nothing_to_draw() -> None:
    few = rows(10)

    with pytest.raises(ValueError, match="no look"):
        layers_chart(layer_report(lived(few), SETTINGS, 0.0))
    with pytest.raises(ValueError, match="no look"):
        calibration_chart(scoreboard([d for d, _ in few], lived(few), SETTINGS.gemini, 0.7, START))
