"""What the regime rule says of prices without any regime."""

from __future__ import annotations

import numpy as np
import pytest

from core.engine.indicators import indicators
from core.engine.random_walks import _walk, random_walks


def test_more_than_half_of_pure_random_walks_is_called_choppy() -> None:
    found = random_walks(7, walks=60, candles=300)

    assert found.choppy - 3 * found.choppy_error > 0.5
    assert found.low - 3 * found.low_error > 0.45
    assert 0.35 < found.hurst < 0.5
    assert 0.08 < found.hurst_spread < 0.16


def test_the_same_seed_gives_the_same_sentence_and_another_one_another() -> None:
    assert random_walks(1, 5, 150).sentence == random_walks(1, 5, 150).sentence
    assert random_walks(1, 5, 150).sentence != random_walks(2, 5, 150).sentence


def test_the_share_is_counted_over_the_candles_with_a_full_window() -> None:
    rng = np.random.default_rng(3)
    walks = [indicators(_walk(rng, 160)) for _ in range(4)]
    below = np.concatenate([ind.hurst[100:] < 0.45 for ind in walks])
    quiet = np.concatenate([ind.adx[100:] < 20 for ind in walks])
    trending = np.concatenate([(ind.hurst[100:] > 0.55) & (ind.adx[100:] > 25) for ind in walks])

    found = random_walks(3, 4, 160)

    assert found.low == pytest.approx(below.mean())
    assert found.choppy == pytest.approx(((below | quiet) & ~trending).mean())


def test_highs_and_lows_hold_the_candle_and_closes_step_without_memory() -> None:
    candles = _walk(np.random.default_rng(5), 4_000)
    steps = np.diff(np.log(candles.close))

    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.05


@pytest.mark.parametrize(("walks", "candles"), [(1, 300), (5, 100)])
def test_too_few_are_refused(walks: int, candles: int) -> None:
    with pytest.raises(ValueError, match="at least 2 walks of more than 100 candles"):
        random_walks(1, walks, candles)
