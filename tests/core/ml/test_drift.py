"""Drift: the index, what chance does to it, and what it takes to call a feature moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import DAY_MS, FloatArray, IntArray
from core.ml.drift import DriftLook, confirmed, drift_look, psi

NAMES = ("adx", "rsi", "hurst", "probability")


def rows(n: int, seed: int, lasting: float = 0.0, columns: int = len(NAMES)) -> tuple[FloatArray, IntArray]:
    """``n`` rows twice a day; a share ``lasting`` of each column's variance stays for a day."""
    rng = np.random.default_rng(seed)
    time = (np.arange(n) * DAY_MS // 2).astype(np.int64)
    mood = rng.standard_normal((n // 2 + 1, columns))[np.arange(n) // 2]
    return np.sqrt(lasting) * mood + np.sqrt(1 - lasting) * rng.standard_normal((n, columns)), time


def look(values: FloatArray, time: IntArray, recent: int = 200, seed: int = 1) -> DriftLook:
    split = len(values) - recent
    return drift_look(values[:split], values[split:], NAMES, seed, times=(time[:split], time[split:]))


def test_the_index_is_the_textbook_sum() -> None:
    """Two bins of 3 and 1 against 1 and 3, half a row added to each bin and to the empty ones for more and for NaN."""
    expected, actual = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    e, a = np.array([3.5, 1.5, 0.5, 0.5]) / 6, np.array([1.5, 3.5, 0.5, 0.5]) / 6

    assert psi(expected, actual, np.array([0.0, 1.0])) == pytest.approx(float(((a - e) * np.log(a / e)).sum()))


def test_a_shift_of_one_sigma_has_an_index_near_one() -> None:
    """For two normals one sigma apart the sum's limit is 1 (Kullback and Leibler's J); deciles lose a little of it."""
    rng = np.random.default_rng(2)

    assert psi(rng.standard_normal(20_000), rng.standard_normal(20_000) + 1) == pytest.approx(0.95, abs=0.07)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, float("nan")]), min_size=1, max_size=60), st.randoms())
def test_the_same_values_in_another_order_have_not_moved(values: list[float], random: object) -> None:
    there = np.array(values)

    assert psi(there, there[::-1]) == 0


def test_ties_make_one_bin_and_a_value_never_seen_one_of_its_own() -> None:
    flag = np.repeat([0.0, 1.0], [80, 20])

    assert psi(flag, np.repeat([0.0, 1.0], [160, 40])) < 0.01
    assert psi(flag, np.repeat([0.0, 1.0], [40, 60])) > 0.5
    assert psi(np.ones(100), np.zeros(100)) > 1
    assert psi(np.ones(100), np.full(100, 2.0)) > 1


def test_a_feature_that_goes_missing_has_moved() -> None:
    values = np.random.default_rng(3).standard_normal(300)

    assert psi(values, np.where(np.arange(300) < 100, np.nan, values)) > 0.5
    assert psi(np.full(300, np.nan), np.full(300, np.nan)) == 0


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="empty"):
        psi(np.ones(3), np.empty(0))


@pytest.mark.parametrize("lasting", [0.0, 0.7])
def test_where_nothing_moved_hardly_any_look_says_so(lasting: float) -> None:
    """1% is promised: of 40 looks on 4 columns more than 3 would be found once in two thousand times."""
    beyond = [look(*rows(500, seed, lasting)).beyond for seed in range(40)]

    assert sum(beyond) <= 3


@pytest.mark.parametrize("lasting", [0.0, 0.7])
def test_one_feature_that_moves_by_one_sigma_is_found_and_named(lasting: float) -> None:
    values, time = rows(500, 4, lasting)
    values[-200:, 1] += 1
    found = look(values, time)

    assert (found.beyond, found.feature) == (True, "rsi")
    assert found.psi is not None
    assert found.threshold is not None
    assert found.sentence == (
        f"rsi has moved on the last 200 rows: PSI {found.psi:.2f}, more than {found.threshold:.2f} is chance, "
        "the furthest of 4 columns"
    )


def test_a_feature_that_lasts_for_weeks_is_not_called_moved_for_being_slow() -> None:
    """Each column a random walk's mood of about ten days: single rows exchanged would call most of these drift."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mood = np.zeros((250, 4))
        for day in range(1, 250):
            mood[day] = 0.9 * mood[day - 1] + np.sqrt(1 - 0.81) * rng.standard_normal(4)
        time = (np.arange(500) * DAY_MS // 2).astype(np.int64)
        found.append(look(mood[np.arange(500) // 2] + 0.3 * rng.standard_normal((500, 4)), time).beyond)

    assert sum(found) <= 3


def test_a_slow_feature_that_wandered_hides_no_other_that_moved() -> None:
    rng = np.random.default_rng(3)
    values, time = rows(500, 3)
    wander = np.cumsum(rng.standard_normal(250)) / 8
    values[:, 0] = wander[np.arange(500) // 2] + 0.1 * rng.standard_normal(500)
    alone = look(values, time)
    values[-200:, 1] += 0.7
    found = look(values, time)

    assert not alone.beyond
    assert (found.beyond, found.feature) == (True, "rsi")


def test_a_constant_is_no_drift_and_one_that_becomes_another_constant_is() -> None:
    values, time = rows(500, 5)
    values[:, 2] = 1.0
    assert not look(values, time).beyond

    values[-200:, 2] = 2.0
    assert (look(values, time).beyond, look(values, time).feature) == (True, "hurst")


def test_features_that_are_missing_everywhere_are_no_drift_and_one_that_went_missing_is() -> None:
    values, time = rows(500, 6)
    values[:, 0] = np.nan
    assert not look(values, time).beyond
    assert not look(np.full_like(values, np.nan), time).beyond

    values[-200:, 3] = np.nan
    assert (look(values, time).beyond, look(values, time).feature) == (True, "probability")


def test_the_same_rows_in_any_order_and_the_same_seed_give_the_same_answer() -> None:
    values, time = rows(500, 7, 0.5)
    mixed = np.concatenate([np.random.default_rng(1).permutation(300), 300 + np.random.default_rng(2).permutation(200)])

    assert look(values, time) == look(values[mixed], time[mixed])


@pytest.mark.parametrize(
    ("n", "recent", "crowded", "sentence"),
    [
        (499, 199, False, "drift cannot be told yet: 199 of 200 recent rows"),
        (249, 200, False, "drift cannot be told: 49 rows to compare with, 50 are needed"),
        (500, 200, True, "drift cannot be told: 200 recent rows in 2 stretches of time, 8 are needed"),
    ],
)
def test_too_little_is_said_and_not_guessed(n: int, recent: int, crowded: bool, sentence: str) -> None:
    values, time = rows(n, 8)
    if crowded:
        time = time // 50

    found = look(values, time, recent)

    assert found == DriftLook(recent, None, None, None, False, sentence)


def test_what_does_not_fit_together_is_refused() -> None:
    values, time = rows(500, 9)

    with pytest.raises(ValueError, match="do not fit 3 names"):
        drift_look(values[:300], values[300:], NAMES[:3], 1, times=(time[:300], time[300:]))
    with pytest.raises(ValueError, match="wants its time"):
        drift_look(values[:300], values[300:], NAMES, 1, times=(time[:300], time[:3]))


def test_drift_is_confirmed_by_two_looks_running() -> None:
    calm = DriftLook(200, "adx", 0.1, 0.4, False, "")
    moved = DriftLook(300, "adx", 0.9, 0.4, True, "")

    assert [confirmed(looks) for looks in ([], [moved], [moved, calm], [moved, calm, moved])] == [False] * 4
    assert confirmed([calm, moved, moved])


def test_the_sentence_calls_a_feature_what_a_trader_calls_it() -> None:
    values, time = rows(500, 4)
    values[-200:, 0] += 1
    names = ("signed_di", *NAMES[1:])
    found = drift_look(values[:300], values[300:], names, 1, times=(time[:300], time[300:]))

    assert found.feature == "signed_di"
    assert found.sentence.startswith("DI has moved on the last 200 rows")
