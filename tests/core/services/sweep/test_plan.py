"""Windows that do not touch each other, and a name that changes with whatever could change a result."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import CandleSettings, Paper
from core.errors import UsageError
from core.services.sweep.plan import walk_forward
from tests.core.services.sweep.shelf import BASE, DAY, SETS, candles, small_sweep
from tests.markets import START

BAR = 900_000


@given(st.integers(20, 3000), st.integers(1, 8), st.floats(0.1, 0.9), st.integers(0, 95), st.integers(0, 95))
def test_parts_follow_each_other_without_a_gap_and_no_day_is_in_two(
    days: int, windows: int, share: float, begin: int, end: int
) -> None:
    first, last = START + begin * BAR, START + days * DAY + end * BAR
    try:
        parts = walk_forward(first, last, windows, share, 100 * BAR)
    except UsageError:  # too short for so many; what it says is another test
        assert days * min(share, 1 - share) < 4 * windows
        return

    assert (parts[0].start_ms, parts[-1].end_ms) == (first, last)
    assert [(p.window, p.kind) for p in parts] == [(w, k) for w in range(windows) for k in ("is", "oos")]
    for one, other in pairwise(parts):
        assert one.end_ms == other.start_ms
        assert one.first_day + one.days == other.first_day
    assert all(p.end_ms - p.start_ms > 100 * BAR for p in parts)


def test_the_in_sample_share_is_what_was_asked() -> None:
    parts = walk_forward(START, START + 1000 * DAY, 4, 0.7, BAR)

    assert [p.days for p in parts] == [175, 75] * 4


def test_windows_that_are_too_short_are_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"8 windows leave \d\.\d days for an out-of-sample part, and a trade may"):
        small_sweep(windows=8, sets=("max_bars=200",))


def changed_candles() -> str:
    held = candles()
    pair, last = list(held.items())[-1]
    close = last.close.copy()
    close[2000] += 0.01
    return small_sweep({**held, pair: replace(last, close=close)}).sweep_id


@pytest.mark.parametrize(
    "other",
    [
        lambda: small_sweep(sets=(*SETS[:3], "rsi_long_max=55,99")).sweep_id,
        lambda: small_sweep(sets=SETS[::-1]).sweep_id,
        lambda: small_sweep(windows=2).sweep_id,
        lambda: small_sweep(start=START + DAY).sweep_id,
        lambda: small_sweep(dict(list(candles().items())[:2])).sweep_id,
        lambda: small_sweep(base=BASE.model_copy(update={"fills": "pessimistic"})).sweep_id,
        lambda: small_sweep(base=BASE.model_copy(update={"paper": Paper(fee_rate=0)})).sweep_id,
        lambda: small_sweep(base=BASE.model_copy(update={"candles": CandleSettings(max_gap=3)})).sweep_id,
        changed_candles,
    ],
)
def test_whatever_could_change_a_result_makes_another_sweep(other: object) -> None:
    assert callable(other)
    assert other() != small_sweep().sweep_id


def test_what_cannot_change_a_result_does_not() -> None:
    pairs = BASE.pairs[:2]

    assert small_sweep().sweep_id == small_sweep(base=BASE.model_copy(update={"pairs": pairs})).sweep_id


def test_chunks_hold_every_setting_once() -> None:
    sweep = small_sweep()
    chunks = sweep.chunks()

    assert [len(c.settings) for c in chunks] == [20, 20]
    assert tuple(s for c in chunks for s in c.settings) == sweep.settings


def test_the_configured_setting_is_found_where_it_is_there() -> None:
    assert small_sweep().configured is None
    own = small_sweep(sets=("adx_min=10,15,20",))
    assert own.configured is not None
    assert own.settings[own.configured].values == (15.0,)
