from __future__ import annotations

import struct

import pytest

from core.ml.preview import dial, past_signals
from core.reports.preview_chart import dial_chart
from tests.core.ml.test_preview import PERCENTILE, PROBABILITY, planted


@pytest.mark.parametrize("signals", [30, 1])
def test_the_dial_is_drawn_for_a_phone_however_few_signals_there_are(signals: int) -> None:
    png = dial_chart(dial(past_signals(planted(), signals), PERCENTILE, outcomes=60))

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1080, 1080)


def test_the_same_dial_gives_the_same_bytes_and_another_scale_another_picture() -> None:
    signals = past_signals(planted())
    first, again = (dial_chart(dial(signals, PERCENTILE, 200, 0.25)) for _ in range(2))
    assert first == again
    assert dial_chart(dial(signals, PROBABILITY, 200, 0.25)) != first
