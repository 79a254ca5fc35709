"""The AUC that coming looks ask for, against the gate itself."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from core.domain.candles import DAY_MS
from core.ml.gate import look_count, measure
from core.ml.opening import Skill, look_ahead, null_variance, variance

HOUR_MS = DAY_MS // 24


def test_independent_rows_have_no_design_effect_and_wide_intervals_have_one() -> None:
    error = null_variance(400, 0.4) ** 0.5
    half = NormalDist().inv_cdf(0.975) * error

    assert Skill(400, 0.4, 0.5, 0.5 - half, 0.5 + half).design_effect == pytest.approx(1.0)
    assert Skill(400, 0.4, 0.5, 0.5 - 2 * half, 0.5 + 2 * half).design_effect == pytest.approx(4.0)
    assert Skill(400, 0.4, 0.5, 0.49, 0.51).design_effect == 1.0


def test_without_signal_both_variances_agree() -> None:
    assert variance(0.5, 400, 0.4) == pytest.approx(null_variance(400, 0.4), rel=0.01)


def test_figures_without_an_auc_are_no_skill() -> None:
    assert Skill.of({}) is None
    assert Skill.of({"n": 0.0, "base_rate": None, "auc": None}) is None
    assert Skill.of({"n": 90.0, "base_rate": 0.4, "auc": 0.6, "auc_low": 0.5, "auc_high": 0.7}) == Skill(
        90, 0.4, 0.6, 0.5, 0.7
    )


def test_too_few_separate_days_have_no_interval() -> None:
    assert look_ahead(1, Skill(400, 0.4, 0.6), per_day=40.0, error=0.05).needed is None


def test_the_asked_auc_is_what_the_gate_would_ask_of_independent_rows() -> None:
    """Rows without signal, one every 16 hours as live outcomes come: the gate's own distance to its lower bound."""
    rng, per_day, index = np.random.default_rng(3), 1.5, 5
    n = look_count(index)
    expected = look_ahead(index, Skill(10_000, 0.4, 0.5, 0.4999, 0.5001), per_day, 0.05)
    distances = []
    for _ in range(40):
        decided = np.arange(n, dtype=np.int64) * (16 * HOUR_MS)
        outcome = (rng.random(n) < 0.4).astype(np.int64)
        figures = measure(rng.random(n), outcome, decided, decided + 20 * HOUR_MS, expected.alpha)
        assert figures.auc is not None
        assert figures.auc_low is not None
        distances.append(figures.auc - figures.auc_low)

    assert expected.needed == pytest.approx(0.5 + float(np.mean(distances)), abs=0.025)
