"""The picture of Monte Carlo is a picture of the right size, the same for the same figures, and holds any figures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image

from core.engine.resampling import FAN
from core.reports.check_charts import Chance, montecarlo_chart


def block(final: np.ndarray, drawdown: np.ndarray, real: tuple[float, float] = (0.95, 0.1)) -> Chance:
    steps = np.linspace(0, 1, 31)
    fan = np.quantile(1 + (final[:, None] - 1) * steps, FAN, axis=0)
    return Chance("Other markets", "200 markets, blocks of 3 days", "days", fan, final, drawdown, *real)


def usual(seed: int = 1) -> Chance:
    rng = np.random.default_rng(seed)
    return block(rng.normal(0.95, 0.08, 200), rng.beta(2, 12, 200))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(image.imread(io.BytesIO(png), format="png"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_picture_is_as_wide_as_a_phone_and_grows_with_its_blocks(count: int) -> None:
    drawn = pixels(montecarlo_chart("What chance could have made of it", [usual(n) for n in range(count)], 0.2))

    assert drawn.shape[:2] == (108 + 612 * count, 1080)
    assert drawn.std() > 0.05


def test_the_same_figures_give_the_same_bytes() -> None:
    assert montecarlo_chart("x", [usual()], 0.2) == montecarlo_chart("x", [usual()], 0.2)
    assert montecarlo_chart("x", [usual()], 0.2) != montecarlo_chart("x", [usual(2)], 0.2)


@pytest.mark.parametrize(
    "chance",
    [
        block(np.ones(3), np.zeros(3), (1.0, 0.0)),
        block(np.array([1.3]), np.array([0.05])),
        block(np.array([0.2, 4.0]), np.array([0.9, 0.01]), (9.0, 0.5)),
    ],
    ids=["nothing happened", "one trial", "far apart"],
)
def test_any_figures_can_be_drawn(chance: Chance) -> None:
    assert len(montecarlo_chart("From $10,000 on $x$", [chance], 0.2)) > 5000


def test_no_block_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        montecarlo_chart("x", [], 0.2)
