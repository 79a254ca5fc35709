from __future__ import annotations

import numpy as np
import pytest

from core.engine.metrics import expectancy, max_drawdown, max_drawdown_share, profit_factor, win_rate

RESULTS = [2.3, -1.0, -1.0, 0.25, 0.0]


def test_figures_by_hand() -> None:
    assert win_rate(RESULTS) == 0.4
    assert profit_factor(RESULTS) == pytest.approx(2.55 / 2)
    assert expectancy(RESULTS) == pytest.approx(0.11)
    assert max_drawdown(np.cumsum([0, *RESULTS])) == pytest.approx(2.0)
    assert max_drawdown_share([100, 120, 90, 130, 104]) == pytest.approx(0.25)


def test_without_results_nothing_is_claimed() -> None:
    assert (win_rate([]), profit_factor([]), expectancy([]), max_drawdown([]), max_drawdown_share([])) == (
        None,
        None,
        None,
        0,
        0,
    )


def test_without_a_loss_there_is_no_profit_factor() -> None:
    assert profit_factor([1.0, 2.0]) is None
    assert profit_factor([-1.0]) == 0


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        max_drawdown_share([100, 0])
