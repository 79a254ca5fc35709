"""Slices add up to the whole, say how many were looked at, and have no figure where too few rows are."""

from __future__ import annotations

import numpy as np
import pytest

from core.ml.slices import FEWEST, GROUPS, Slices, slices

START = 1_703_980_800_000  # 2023-12-31T00:00:00Z
HOUR = 3_600_000


def sliced(n: int = 400, hours: int = 11, seed: int = 1, planted: str = "") -> Slices:
    """A row every ``hours``; predictions know the outcome in the regime ``planted`` only."""
    rng = np.random.default_rng(seed)
    time = START + np.arange(n) * hours * HOUR
    won = rng.integers(0, 2, n)
    regime = np.array(["TRENDING", "VOLATILE"])[rng.integers(0, 2, n)]
    chance = np.where(regime == planted, 0.3 + 0.4 * won + 0.01 * rng.random(n), rng.random(n))
    pair = np.array(["LINKUSDT", "ETHUSDT", "SOLUSDT"])[rng.integers(0, 3, n)]
    r = np.where(won == 1, 2.0, -1.0)
    return slices(chance, won, np.full(n, 0.5), r, time, time + HOUR, pair, regime)


@pytest.mark.parametrize("group", GROUPS)
def test_each_grouping_holds_every_row_once(group: str) -> None:
    assert sum(s.n for s in sliced().of(group)) == 400


def test_time_is_that_of_the_decision_in_utc() -> None:
    found = sliced()

    assert {s.name: s.n for s in found.of("year")} == {"2023": 3, "2024": 397}
    assert [s.name for s in found.of("block")] == ["00-06 UTC", "06-12 UTC", "12-18 UTC", "18-24 UTC"]
    assert [s.name for s in found.of("hour")] == [f"{h:02d}" for h in range(24)]


def test_what_is_known_in_one_regime_only_shows_there() -> None:
    trending, volatile = sliced(planted="TRENDING").of("regime")

    assert trending.auc == 1.0
    assert trending.better_r is not None
    assert trending.worse_r is not None
    assert trending.better_r > 1.8
    assert trending.worse_r < -0.8
    assert volatile.auc_low is not None
    assert volatile.auc_high is not None
    assert volatile.auc_low < 0.5 < volatile.auc_high


def test_too_few_rows_have_a_base_rate_and_nothing_else() -> None:
    few = sliced().of("year")[0]

    assert few.n < FEWEST
    assert 0 <= few.base_rate <= 1
    assert {few.auc, few.auc_low, few.auc_high, few.brier_skill, few.better_r, few.worse_r} == {None}


def test_it_is_said_how_many_were_looked_at_and_what_chance_would_do() -> None:
    found = sliced()
    counted = [s for s in found.slices if s.auc_low is not None]

    assert found.looked_at == len(counted)
    assert found.note.startswith(f"{len(counted)} slices have an interval; chance alone would put 0.5 of them")
    assert "No slice alone proves anything." in found.note
    assert sliced(8).note == "No slice has enough separate days for an interval."


def test_noise_has_as_many_slices_apart_from_guessing_as_the_note_says() -> None:
    looked, apart = 0, 0
    for seed in range(30):
        found = sliced(seed=seed)
        looked, apart = looked + found.looked_at, apart + found.apart

    assert apart / looked < 0.07


def test_nothing_has_no_slices() -> None:
    empty = np.empty(0)
    none = np.empty(0, dtype=np.int64)

    assert slices(empty, none, empty, empty, none, none, [], []).slices == ()
