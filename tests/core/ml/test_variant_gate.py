"""The looks at a variant: a planted gain is found, noise seldom passes, and looking more often changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.ml.variant_gate import Contest, VariantLook, error_share, variant_looks
from tests.markets import M15, START

DAY = 86_400_000


def contests(seed: int, count: int = 300, gain: float = 0.0) -> list[Contest]:
    """Half of the strategy's choices are the variant's too; those it leaves out are ``gain`` R worse."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, count, count))
    common = rng.normal(0, 0.5, count)[days]  # a day's trades move together
    found = []
    for day, shared in zip(days, common, strict=True):
        kept = bool(rng.random() < 0.5)
        decided = START + int(day) * DAY + int(rng.integers(0, 96)) * M15.ms
        r = float(rng.choice([-1.1, 0.4, 2.3], p=[0.6, 0.2, 0.2])) + shared - (0 if kept else gain)
        found.append(Contest(decided, decided + int(rng.integers(1, 100)) * M15.ms, r, kept, True))
    return found


def test_a_planted_better_variant_becomes_ready() -> None:
    looks = variant_looks(contests(1, gain=1.5), error_share(1, 0.05))

    assert [look.n for look in looks] == [50, 100, 150, 200, 300]
    assert looks[-1].state == "ready"
    assert looks[-1].low is not None
    assert 0 < looks[-1].low < (looks[-1].difference or 0.0)


def test_all_of_a_looks_error_lies_below_its_bound() -> None:
    """One-sided: by hand from days, whose influences are summed before they are squared (Liang and Zeger 1986)."""
    look = variant_looks(contests(1), 0.05)[-1]
    first = sorted(contests(1), key=lambda c: c.closed)
    days = np.unique([c.decided // DAY for c in first])
    theirs = [c for c in first if c.by_variant]
    mean, own = (float(np.mean([c.r_net for c in part])) for part in (theirs, first))
    sums = [
        sum(
            c.by_variant * (c.r_net - mean) / len(theirs) - (c.r_net - own) / len(first)
            for c in first
            if c.decided // DAY == day
        )
        for day in days
    ]
    error = np.sqrt(np.square(sums).sum() * len(days) / (len(days) - 1))

    assert look.low is not None
    assert look.difference == pytest.approx(mean - own)
    assert look.difference is not None
    quantile = (look.difference - look.low) / error  # some 100 degrees of freedom: a little above the normal's
    assert stats.norm.isf(look.alpha) < quantile < stats.t.isf(look.alpha, 40)


def test_noise_seldom_passes_however_often_one_looks() -> None:
    """A budget of a fifth of 20% is spent over five looks: 4% in all, so of 150 lines hardly 14 may pass."""
    passed = [
        any(look.state == "ready" for look in variant_looks(contests(seed), error_share(1, 0.2))) for seed in range(150)
    ]

    assert sum(passed) <= 13


def test_a_worse_variant_is_never_ready_and_its_look_says_so() -> None:
    looks = variant_looks(
        [Contest(c.decided, c.closed, c.r_net, not c.by_variant, True) for c in contests(1, gain=1.5)], 0.05
    )

    assert {look.state for look in looks} == {"weak"}
    assert (looks[-1].difference or 0.0) < 0


def test_what_a_look_says_depends_on_nothing_later() -> None:
    every = contests(3, 300, gain=0.5)
    closed = sorted(every, key=lambda c: c.closed)

    assert variant_looks(closed[:160], 0.05) == variant_looks(every[::-1], 0.05)[:3]


def test_an_outcome_counts_when_it_is_known_and_not_when_it_was_decided() -> None:
    every = contests(3, 100)
    slow = Contest(min(c.decided for c in every) - DAY, max(c.closed for c in every) + DAY, 500.0, True, False)

    first, second = variant_looks([slow, *every[:99]], 0.05)

    assert first == variant_looks(every[:99], 0.05)[0]
    assert second.variant.mean is not None
    assert second.variant.mean > 5
    assert second.days == (slow.closed - slow.decided) / DAY
    assert second.owner.per_day == pytest.approx(sum(c.r_net for c in every[:99]) / second.days)


def test_choices_that_hardly_differ_are_blocked() -> None:
    same = [Contest(c.decided, c.closed, c.r_net, n >= 10, True) for n, c in enumerate(contests(4, 120))]

    look = variant_looks(same, 0.05)[-1]

    assert look.state == "blocked"
    assert "they chose differently on 10 outcomes, 20 are needed" in _sentences(look)


def test_fewer_but_better_trades_that_earn_less_are_not_ready() -> None:
    rng = np.random.default_rng(5)
    good = [
        Contest(START + n * DAY, START + n * DAY + 9 * M15.ms, 1.0 + rng.normal(0, 0.1), False, True)
        for n in range(150)
    ]
    better = [
        Contest(START + n * DAY, START + n * DAY + 5 * M15.ms, 3.0 + rng.normal(0, 0.1), True, n % 2 == 0)
        for n in range(0, 150, 3)
    ]

    look = variant_looks(good + better, 0.05)[-1]

    assert look.low is not None
    assert look.low > 0
    assert (look.state, look.conditions[-1].met) == ("weak", False)
    assert look.variant.per_day < look.owner.per_day


def test_a_variant_that_chose_nothing_is_compared_with_nothing() -> None:
    nothing = [Contest(c.decided, c.closed, c.r_net, False, True) for c in contests(6, 60)]

    look = variant_looks(nothing, 0.05)[0]

    assert (look.state, look.variant.n, look.variant.mean, look.low) == ("weak", 0, None, None)
    assert "one of the two has chosen nothing yet" in _sentences(look)


def test_all_variants_ever_tried_share_one_budget() -> None:
    shares = [error_share(order, 0.05) for order in range(1, 2_000)]

    assert shares[:4] == [pytest.approx(0.01)] * 4
    assert 0.0499 < sum(shares) < 0.05
    with pytest.raises(ValueError, match="counted from 1"):
        error_share(0, 0.05)


@pytest.mark.parametrize(
    ("contest", "words"),
    [
        (Contest(START, START + 1, 0.0, False, False), "nobody chose"),
        (Contest(START, START, 0.0, True, False), "older than its outcome"),
    ],
)
def test_what_is_no_evidence_is_refused(contest: Contest, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        variant_looks([contest], 0.05)


def _sentences(look: VariantLook) -> list[str]:
    return [c.sentence for c in look.conditions]
