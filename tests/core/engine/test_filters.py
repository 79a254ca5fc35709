"""The layers between a signal and a decision: each verdict follows from its numbers, to the last candle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Gemini, Ml, Rules
from core.domain.candles import Candles, IntArray, Pair, Timeframe
from core.domain.trading import Direction, GeminiOpinion, ModelOpinion, Opinions, Ruling
from core.engine.filters import (
    Facts,
    alignment_of,
    alignment_verdict,
    btc_verdict,
    combined_confidence,
    combined_verdict,
    correlation,
    effective_weight,
    gather_facts,
    gemini_verdict,
    model_verdict,
    resample_closes,
    trend,
)
from tests.markets import LINK, M15, START, times, walk

M5, H1 = Timeframe.parse("5m"), Timeframe.parse("1h")
ETH, BTC = Pair.parse("ETH"), Pair.parse("BTC")
LONG, SHORT = Direction.LONG, Direction.SHORT


def line(rows: int, slope: float, frame: Timeframe = M15, start: int = START, pair: Pair = LINK) -> Candles:
    """Closes on a line through 100 at the end."""
    close = 100 + slope * (np.arange(rows, dtype=np.float64) - rows + 1)
    time: IntArray = start + np.arange(rows, dtype=np.int64) * frame.ms
    return Candles(pair, frame, time, close, close, close, close, np.ones(rows))


def without(candles: Candles, *rows: int) -> Candles:
    kept = np.setdiff1d(np.arange(len(candles)), rows)
    columns = (getattr(candles, c)[kept] for c in ("time", "open", "high", "low", "close", "volume"))
    return Candles(candles.pair, candles.timeframe, *columns)


def facts(trends: Mapping[str, int | None] | None = None, **more: Any) -> Facts:
    return Facts(trends=trends or {}, **more)


# -- trends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slope", "sign"), [(0.01, 1), (-0.01, -1), (0.0, 0)])
def test_a_trend_is_the_side_of_the_shorter_average(slope: float, sign: int) -> None:
    assert trend(line(40, slope).close) == sign


def test_a_trend_needs_forty_closes_and_looks_at_no_more() -> None:
    closes = line(40, 0.01).close
    assert trend(closes[1:]) is None
    assert trend(np.concatenate(([1e6, 1e-6], closes))) == trend(closes)


def test_averages_that_differ_by_rounding_alone_are_flat() -> None:
    assert trend(np.full(40, 0.1) * 3 + np.linspace(0, 1e-13, 40)) == 0


@pytest.mark.parametrize("rows", range(160, 165))
def test_an_hour_counts_with_its_last_quarter_and_never_before(rows: int) -> None:
    closes = resample_closes(line(rows, 1.0), H1)

    assert len(closes) == rows // 4
    assert closes[-1] == line(rows, 1.0).close[rows // 4 * 4 - 1]


def test_an_hour_whose_last_quarter_is_missing_is_left_out() -> None:
    window = without(line(16, 1.0), 7)
    assert len(resample_closes(window, H1)) == 3


def test_candles_of_the_running_hour_do_not_move_its_trend() -> None:
    rules = Rules(alignment_timeframes=("1h",))
    window = line(163, -0.01)
    crash = replace(window, close=np.concatenate((window.close[:160], [1e4, 1e4, 1e4])))

    assert gather_facts(window, None, {}, {}, rules).trends == {"1h": -1}
    assert gather_facts(crash, None, {}, {}, rules).trends == {"1h": -1}


def test_the_lower_timeframe_is_what_was_fetched_the_own_and_the_higher_come_from_the_window() -> None:
    rules = Rules()
    window = line(200, -0.01)
    fetched = line(60, 0.01, M5, start=int(window.time[-1]) + M15.ms - 60 * M5.ms)

    assert gather_facts(window, None, {"5m": fetched}, {}, rules).trends == {"5m": 1, "15m": -1, "1h": -1}
    assert gather_facts(window, None, {}, {}, rules).trends == {"5m": None, "15m": -1, "1h": -1}


def test_a_lower_candle_that_has_not_closed_with_the_window_is_not_looked_at() -> None:
    window = line(200, -0.01)
    close_time = int(window.time[-1]) + M15.ms
    fetched = line(44, -0.01, M5, start=close_time - 40 * M5.ms)  # four of them lie in the future
    changed = replace(fetched, close=np.concatenate((fetched.close[:40], np.full(4, 1e6))))

    assert gather_facts(window, None, {"5m": changed}, {}, Rules()).trends["5m"] == -1


@pytest.mark.parametrize(("missing", "sign"), [(8, -1), (9, None)])
def test_a_short_gap_is_bridged_and_no_trend_crosses_a_long_one(missing: int, sign: int | None) -> None:
    window = replace(line(200, -0.01), time=times(200, {100: missing}))
    found = gather_facts(window, replace(window, pair=BTC), {}, {}, Rules(alignment_timeframes=("15m", "1h")))

    assert found.trends == {"15m": -1, "1h": sign}
    assert found.btc_trend == sign


def test_a_reference_whose_candles_ended_long_ago_says_nothing() -> None:
    window = walk(500, 1)
    fresh, stale = replace(walk(500, 2), pair=BTC).rows(0, 491), replace(walk(500, 2), pair=BTC).rows(0, 490)

    assert gather_facts(window, fresh, {}, {}, Rules()).btc_trend is not None
    found = gather_facts(window, stale, {}, {}, Rules())
    assert (found.btc_trend, found.btc_correlation) == (None, None)


def test_candles_of_others_after_the_close_are_not_seen() -> None:
    """A pair that comes late is decided with what was known at its close."""
    window, other = walk(300, 1), walk(310, 2)
    early = gather_facts(window, other.rows(0, 300), {}, {ETH: other.rows(0, 300)}, Rules())

    assert gather_facts(window, other, {}, {ETH: other}, Rules()) == early
    assert early.correlations[ETH] is not None


# -- alignment ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("mode", ["veto", "half", "record"])
@pytest.mark.parametrize("frame", ["5m", "15m", "1h"])
@pytest.mark.parametrize("way", ["with", "against", "flat", "unknown"])
def test_each_timeframe_decides_alone(direction: Direction, mode: Any, frame: str, way: str) -> None:
    own = {"with": direction.sign, "against": -direction.sign, "flat": 0, "unknown": None}[way]
    verdict = alignment_verdict(
        direction, facts(dict.fromkeys(("5m", "15m", "1h"), direction.sign) | {frame: own}), Rules(alignment=mode)
    )

    bad = {"veto": Ruling.REFUSE, "half": Ruling.HALF, "record": Ruling.RECORD}[mode]
    assert verdict.ruling is {"with": Ruling.PASS, "against": bad, "flat": bad, "unknown": Ruling.UNKNOWN}[way]
    assert verdict.number == pytest.approx({"with": 1, "against": 2 / 3, "flat": 2 / 3, "unknown": 1}[way])
    assert way == "with" or frame in verdict.sentence


def test_one_known_against_weighs_more_than_an_unknown() -> None:
    verdict = alignment_verdict(LONG, facts({"5m": None, "1h": -1}), Rules(alignment="veto"))
    assert (verdict.ruling, verdict.sentence, verdict.number) == (Ruling.REFUSE, "1h down", 0.0)


def test_unknown_is_refused_where_the_settings_want_it() -> None:
    rules = Rules(unknown="refuse", alignment="record", btc="record")
    assert alignment_verdict(LONG, facts({"1h": None}), rules).ruling is Ruling.REFUSE
    assert btc_verdict(LONG, facts(), rules).ruling is Ruling.REFUSE
    assert alignment_of(LONG, facts({"1h": None})) is None


# -- BTC ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("number", "way", "bad"),
    [(0.81, -1, True), (0.80, -1, False), (0.79, -1, False), (0.81, 1, False), (0.81, 0, False), (-0.95, -1, False)],
)
def test_btc_speaks_above_its_threshold_and_only_against(
    direction: Direction, number: float, way: int, bad: bool
) -> None:
    seen = facts(btc_correlation=number, btc_trend=way * direction.sign)

    assert btc_verdict(direction, seen, Rules(btc="veto")).ruling is (Ruling.REFUSE if bad else Ruling.PASS)
    assert btc_verdict(direction, seen, Rules(btc="half")).ruling is (Ruling.HALF if bad else Ruling.PASS)


@pytest.mark.parametrize("seen", [facts(btc_trend=-1), facts(btc_correlation=0.99)])
def test_half_known_about_btc_is_unknown(seen: Facts) -> None:
    assert btc_verdict(LONG, seen, Rules(btc="veto")).ruling is Ruling.UNKNOWN


# -- correlation -------------------------------------------------------------------------------------------------------


def test_correlation_is_that_of_the_last_returns_alone() -> None:
    one, other = walk(300, 1), walk(300, 2)
    wanted = np.corrcoef(np.diff(np.log(one.close[-97:])), np.diff(np.log(other.close[-97:])))[0, 1]

    assert correlation(one, other, 96) == pytest.approx(wanted)
    assert correlation(one, one, 96) == pytest.approx(1.0)
    assert correlation(one.tail(97), other, 96) == pytest.approx(wanted)
    assert correlation(one.tail(96), other, 96) is None


def test_a_candle_that_one_of_them_lacks_is_bridged() -> None:
    one, other = walk(300, 1), walk(300, 2)
    kept = np.setdiff1d(np.arange(300), [250])[-97:]
    wanted = np.corrcoef(np.diff(np.log(one.close[kept])), np.diff(np.log(other.close[kept])))[0, 1]

    assert correlation(without(one, 250), other, 96) == pytest.approx(wanted)
    assert correlation(one, without(other, 250), 96) == pytest.approx(wanted)


def test_the_newest_candle_of_one_may_be_missing_but_not_many() -> None:
    one, other = walk(300, 1), walk(300, 2)

    assert correlation(one, other.rows(0, 299), 96) is not None
    assert correlation(one, other.rows(0, 291), 96) is not None
    assert correlation(one, other.rows(0, 290), 96) is None
    assert correlation(one, without(other, *range(250, 259)), 96) is None


def test_a_price_that_does_not_move_has_no_correlation() -> None:
    assert correlation(walk(200, 1), line(200, 0.0), 96) is None


# -- Gemini, model, combined -------------------------------------------------------------------------------------------


def opinions(
    gemini: float | None = None, model: float | None = None, rank: float = 0.9, approve: bool = True
) -> Opinions:
    return Opinions(
        gemini=GeminiOpinion(approve, gemini, "because", (), "test") if gemini is not None else None,
        gemini_note="" if gemini is not None else "it timed out",
        gemini_present=True,
        model=ModelOpinion("m", model, 0.36, rank) if model is not None else None,
    )


@pytest.mark.parametrize(
    ("said", "mode", "ruling"),
    [
        (opinions(0.1, approve=True), "refuse", Ruling.PASS),
        (opinions(0.99, approve=False), "rules", Ruling.REFUSE),
        (opinions(), "refuse", Ruling.REFUSE),
        (opinions(), "rules", Ruling.UNKNOWN),
        (Opinions(), "refuse", Ruling.ABSENT),
    ],
)
def test_gemini_approves_refuses_or_has_no_opinion(said: Opinions, mode: Any, ruling: Ruling) -> None:
    assert gemini_verdict(said, Gemini(on_no_opinion=mode)).ruling is ruling


def test_no_opinion_says_why() -> None:
    assert "it timed out" in gemini_verdict(opinions(), Gemini()).sentence


@pytest.mark.parametrize(
    ("probability", "word", "advice"),
    [(0.61, "HIGH", "TAKE"), (0.6, "MEDIUM", "TAKE"), (0.5, "LOW", "TAKE"), (0.49, "LOW", "SKIP")],
)
def test_the_model_speaks_in_words_and_never_refuses(probability: float, word: str, advice: str) -> None:
    verdict = model_verdict(opinions(model=probability), 0.25)

    assert verdict.ruling is Ruling.RECORD
    assert f"{word}, {advice}" in verdict.sentence
    assert model_verdict(Opinions(model_note="learning 31/50"), 0.25).sentence == "learning 31/50"


@pytest.mark.parametrize(
    ("said", "weight", "scale", "wanted"),
    [
        (opinions(0.8, 0.4, 0.9), 0.25, "percentile", 0.8 * 0.75 + 0.9 * 0.25),
        (opinions(0.8, 0.4, 0.9), 0.25, "probability", 0.8 * 0.75 + 0.4 * 0.25),
        (opinions(0.8, 0.4), 0.0, "percentile", 0.8),
        (opinions(0.8, 0.4), 1.0, "probability", 0.4),
        (opinions(0.8), 0.75, "percentile", 0.8),  # no model: its weight is nobody's
        (opinions(None, 0.4, 0.9), 0.5, "percentile", 0.8 * 0.5 + 0.9 * 0.5),  # neutral in Gemini's place
        (opinions(None, 0.4), 0.0, "percentile", None),  # the rules decide: nothing is tested
        (opinions(), 0.5, "percentile", None),
    ],
)
def test_the_combined_confidence(said: Opinions, weight: float, scale: Any, wanted: float | None) -> None:
    found = combined_confidence(said, weight, Gemini(neutral=0.8), Ml(scale=scale))
    assert found == (pytest.approx(wanted) if wanted is not None else None)


@pytest.mark.parametrize(
    ("confidence", "ruling"),
    [(0.70, Ruling.PASS), (0.69999, Ruling.REFUSE), (0.9, Ruling.PASS), (None, Ruling.ABSENT)],
)
def test_the_confidence_is_tested_against_its_threshold(confidence: float | None, ruling: Ruling) -> None:
    assert combined_verdict(confidence, Ml()).ruling is ruling


@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from([0.25, 0.5, 0.75]))
def test_what_reaches_seventy_percent_on_paper_reaches_it_in_floats(gemini: int, model: int, weight: float) -> None:
    exact = gemini * (4 - round(weight * 4)) + model * round(weight * 4)
    found = combined_confidence(opinions(gemini / 100, model / 100), weight, Gemini(), Ml(scale="probability"))

    assert (combined_verdict(found, Ml()).ruling is Ruling.PASS) == (exact >= 280)


@pytest.mark.parametrize(
    ("approved", "outcomes", "weight"),
    [
        (0.0, 500, 0.0),
        (0.5, 0, 0.0),
        (0.5, 20, 0.0),
        (0.5, 65, 0.25),
        (0.5, 110, 0.5),
        (0.5, 111, 0.5),
        (0.75, 200, 0.75),
    ],
)
def test_the_weight_is_the_approved_one_under_the_ramp(approved: float, outcomes: int, weight: float) -> None:
    assert effective_weight(approved, outcomes) == pytest.approx(weight)


@given(st.floats(0, 1), st.integers(0, 10_000))
def test_the_weight_is_never_more_than_approved_and_grows_with_outcomes(approved: float, outcomes: int) -> None:
    weight = effective_weight(approved, outcomes)
    assert 0 <= weight <= approved
    assert effective_weight(approved, outcomes + 1) >= weight
