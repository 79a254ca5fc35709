"""How long until the next so many outcomes: against exact values, and what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ml.arrivals import Arrivals, arrivals, incomplete_beta

# From an exact implementation (to 12 digits): a, b, x, I_x(a, b).
EXACT = [
    (1.0, 1.0, 0.3, 0.3),
    (2.5, 4.0, 0.2, 0.163859061391),
    (27.7777777778, 8.0, 0.7, 0.137542199843),
    (0.5, 0.5, 0.9, 0.795167235301),
    (300.0, 12.0, 0.97, 0.772531223564),
]

counts = st.integers(0, 400)
days = st.floats(1, 900)
rates = st.one_of(st.none(), st.floats(0.01, 20))


@pytest.mark.parametrize(("a", "b", "x", "expected"), EXACT)
def test_the_incomplete_beta_function_agrees_with_an_exact_one(a: float, b: float, x: float, expected: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(expected, abs=1e-10)


def test_the_rate_agrees_with_exact_gamma_quantiles() -> None:
    known = Arrivals(shape=4.0, days=1.8)  # so that one bunch a day is one outcome a day

    found = [known.rate(quantile) for quantile in (0.1, 0.5, 0.9)]

    assert found == pytest.approx([1.744770, 3.672061, 6.680783], rel=3e-3)


def test_the_wait_agrees_with_an_exact_beta_prime_quantile() -> None:
    assert Arrivals(shape=4.0, days=10.0).days_to(50, 0.5) == pytest.approx(74.734895, rel=1e-5)


def test_nothing_seen_and_no_history_says_nothing() -> None:
    assert arrivals(0, 30.0, None) is None
    assert arrivals(3, 0.5, None) is None


def test_history_speaks_before_anything_is_seen() -> None:
    known = arrivals(0, 0.0, 0.6)

    assert known is not None
    assert known.per_day == pytest.approx(0.6, rel=0.05)


def test_what_is_seen_outweighs_history_in_time() -> None:
    known = arrivals(200, 100.0, 0.6)

    assert known is not None
    assert 1.7 < known.per_day < 2.0


@given(counts, days, rates, st.integers(1, 300), st.sampled_from([0.1, 0.5, 0.9]))
def test_more_outcomes_in_the_same_days_never_make_it_later(
    seen: int, span: float, prior: float | None, target: int, quantile: float
) -> None:
    def wait(outcomes: int) -> float:
        known = arrivals(outcomes, span, prior)
        found = known.days_to(target, quantile) if known else None
        return float("inf") if found is None else found

    assert wait(seen + 1) <= wait(seen) * (1 + 1e-5)


@given(counts, days, rates, st.integers(1, 300))
def test_the_range_holds_its_middle(seen: int, span: float, prior: float | None, target: int) -> None:
    known = arrivals(seen, span, prior)
    if known is None:
        return

    assert known.rate(0.1) <= known.per_day <= known.rate(0.9)
    low, middle, high = (known.days_to(target, quantile) for quantile in (0.1, 0.5, 0.9))
    for earlier, later in ((low, middle), (middle, high)):
        assert later is None or (earlier is not None and earlier <= later)


@pytest.mark.parametrize(("seen", "span", "prior"), [(-1, 1.0, None), (1, -1.0, None), (1, 1.0, -0.5)])
def test_negative_numbers_are_refused(seen: int, span: float, prior: float | None) -> None:
    with pytest.raises(ValueError, match="not possible"):
        arrivals(seen, span, prior)
