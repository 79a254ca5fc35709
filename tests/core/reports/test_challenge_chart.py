from __future__ import annotations

import struct
from dataclasses import replace
from itertools import combinations

import pytest
from matplotlib.figure import Figure

from core.ml.challenge import Comparison
from core.reports import challenge_chart as module
from core.reports.challenge_chart import challenge_chart
from tests.core.reports.test_layout import words
from tests.thrones import better

FOUND = better("xgb-v2-55555555", "xgb-v2-81ca5d5e")
UNSURE = replace(FOUND, low=None, high=None, auc_low=None, auc_high=None)


def test_two_models_are_drawn_for_a_phone_the_same_each_time() -> None:
    png = challenge_chart(FOUND)

    assert struct.unpack(">II", png[16:24]) == (1080, 576)
    assert challenge_chart(FOUND) == png
    assert challenge_chart(UNSURE) != png


@pytest.mark.parametrize("found", [FOUND, UNSURE, replace(FOUND, auc_gain=None), replace(FOUND, gain=0.0, low=-0.3)])
def test_all_words_can_be_read(found: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Figure] = []
    monkeypatch.setattr(module, "png", kept.append)
    challenge_chart(found)
    boxes = words(kept[0])

    assert any("120 signals" in text for text, _ in boxes)
    for (first, a), (second, b) in combinations(boxes, 2):
        assert not a.overlaps(b), (first, second)
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= 1080, text


def test_what_was_not_compared_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        challenge_chart(Comparison(None, "new", 0, True, "first"))
