from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import iso, isos
from core.engine.candle_faults import EARLIEST_MS, LATEST_MS

SECONDS = st.integers(EARLIEST_MS // 1000, LATEST_MS // 1000)


@given(st.lists(SECONDS, max_size=20))
def test_many_times_are_written_as_each_alone(seconds: list[int]) -> None:
    times = np.array(seconds, dtype=np.int64) * 1000

    assert isos(times) == [iso(int(t)) for t in times]
