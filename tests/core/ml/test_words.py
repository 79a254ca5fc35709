"""Contributions in a trader's words: every feature has one, and nothing is lost or doubled on the way."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.trading import Reason
from core.ml.features import FEATURE_SETS
from core.ml.prediction import BASE
from core.ml.words import (
    WORDS,
    base_of,
    label_of,
    lines,
    probability_of,
    rest_words,
    share_words,
    strongest,
    told,
)

EVERY = sorted({name for names in FEATURE_SETS.values() for name in names})
# Multiples of 2 ** -20: their sums are exact, so nothing can hide behind rounding.
shares = st.integers(-(2**24), 2**24).map(lambda n: n / 2**20)
values = st.none() | st.floats(-1e6, 1e6)


def reasons_of(names: tuple[str, ...], **known: float | None) -> list[Reason]:
    return [(name, known.get(name, 0.0), 0.01) for name in names] + [(BASE, None, -0.5)]


def named(reasons: list[Reason]) -> dict[str, str]:
    return {line.name: line.value for line in lines(reasons)}


@pytest.mark.parametrize("name", EVERY)
def test_every_feature_of_every_set_has_a_word(name: str) -> None:
    assert name in WORDS


def test_no_word_is_left_over_from_a_feature_that_is_gone() -> None:
    assert sorted(WORDS) == EVERY


@given(
    st.sampled_from([*FEATURE_SETS.values(), ("regime_choppy", "whatever_it_is", "signed_rsi")]),
    st.data(),
)
def test_the_lines_and_the_base_sum_to_the_log_odds_exactly(names: tuple[str, ...], data: st.DataObject) -> None:
    reasons: list[Reason] = [(n, data.draw(values), data.draw(shares)) for n in (*names, BASE)]
    found = lines(reasons)

    base = base_of(reasons)
    assert base is not None
    assert sum((Fraction(line.share) for line in found), Fraction(base)) == sum(Fraction(s) for _, _, s in reasons)
    assert sorted(f for line in found for f in line.features) == sorted(names)
    strengths = [abs(line.share) for line in found]
    assert strengths == sorted(strengths, reverse=True)
    assert len({line.name for line in found}) == len(found), "a trader sees each thing once"
    assert all("nan" not in line.words and "_" not in line.name for line in found)


def test_a_trader_reads_names_units_and_signs() -> None:
    reasons: list[Reason] = [
        ("entry_adx", 31.2, 0.42),
        ("entry_rsi", 63.8, -0.104),
        ("entry_hour", 14.0, -0.03),
        ("btc_correlation", 0.824, -0.2),
        ("entry_day_of_week", 5.0, 0.001),
        ("entry_hurst", None, 0.06),
        ("return_96", -3.14, 0.05),
        ("entry_atr_percent", 0.618, -0.004),
        (BASE, None, -0.5),
    ]

    assert [line.words for line in lines(reasons)] == [
        "ADX 31 +0.42",
        "BTC correlation 0.82 -0.20",
        "RSI 64 -0.10",
        "Hurst not known +0.06",
        "last 96 candles 3.1 ATR against +0.05",
        "hour 14 UTC -0.03",
        "ATR 0.62% +0.00",
        "day Sat +0.00",
    ]
    assert strongest(reasons, 2) == "ADX 31 +0.42 · BTC correlation 0.82 -0.20"
    assert strongest(reasons[4:5] + reasons[7:]) == "", "what is +0.00 is nothing to tell"
    assert strongest([]) == ""
    assert base_of([]) is None


@pytest.mark.parametrize("names", FEATURE_SETS.values(), ids=FEATURE_SETS)
def test_the_regime_is_one_line_whose_share_is_the_sum(names: tuple[str, ...]) -> None:
    flags = [name for name in names if name.startswith("regime_")]
    reasons: list[Reason] = [(n, 1.0 if n == "regime_choppy" else 0.0, -0.04) for n in flags]

    [line] = lines(reasons)

    assert line.words == f"regime CHOPPY {-0.04 * len(flags):+.2f}"
    assert named([(n, None, 0.1) for n in flags]) == {"regime": "not known"}


def test_the_regime_that_a_model_has_no_number_for_is_known_by_what_it_is_not() -> None:
    first = FEATURE_SETS["v1"]

    assert named(reasons_of(first))["regime"] == "VOLATILE"
    assert named([("regime_choppy", 0.0, 0.1)])["regime"] == "another"


def test_a_form_turned_by_the_direction_stands_on_the_line_of_the_plain_one() -> None:
    both: list[Reason] = [("signed_rsi", -13.8, 0.25), ("entry_rsi", 36.2, -0.05)]

    [line] = lines(both)

    assert line.words == "RSI 36 +0.20"
    assert line.features == ("signed_rsi", "entry_rsi")
    assert [x.words for x in lines(both[:1])] == ["turned RSI 13.8 points against +0.25"]


@given(st.lists(shares, max_size=12), st.integers(0, 12))
def test_what_is_told_and_the_rest_are_all_there_is(parts: list[float], most: int) -> None:
    found = lines([(f"f{n}", 1.0, share) for n, share in enumerate(parts)])
    shown, rest = told(found, most)

    assert (*shown, *rest) == found
    assert len(shown) <= most
    assert all(share_words(line.share) not in ("+0.00", "-0.00") for line in shown)
    if rest:
        assert rest_words(rest).endswith(share_words(math.fsum(line.share for line in rest)))


def test_an_unknown_feature_keeps_its_name() -> None:
    assert [line.words for line in lines([("entry_moon_phase", 0.25, 0.1)])] == ["moon phase 0.25 +0.10"]
    assert label_of("entry_moon_phase", None) == "moon phase not known"


def test_one_feature_alone_has_a_label() -> None:
    assert label_of("entry_adx", 31.2) == "ADX 31"
    assert label_of("regime_choppy", 0.0) == "regime not CHOPPY"
    assert label_of("regime_choppy", 1.0) == "regime CHOPPY"
    assert label_of("direction_sign", -1.0) == "direction SHORT"
    assert label_of(BASE, None) == "before anything is known"


def test_log_odds_and_probabilities_are_two_ways_to_say_the_same() -> None:
    assert probability_of(0.0) == 0.5
    assert probability_of(math.log(0.37 / 0.63)) == pytest.approx(0.37)
    assert probability_of(-1e9) == 0.0
    assert probability_of(1e9) == 1.0
