"""Gemini's scoreboard: counts that add up, a confidence scored as a probability, blame only beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.config import Gemini
from core.domain.candles import DAY_MS
from core.ml.lived import lived
from core.ml.scoreboard import Scoreboard, scoreboard
from tests.lived import NO_KEY, Row, outcomes, signal
from tests.markets import START

THRESHOLD = 0.7
NOW = START + 200 * DAY_MS


def board(rows: Sequence[Row], settings: Gemini | None = None, now: int = NOW, **more: Any) -> Scoreboard:
    return scoreboard([d for d, _ in rows], lived(rows), settings or Gemini(), THRESHOLD, now, **more)


def spoken(n: int, seed: int, confidence: float | None = None) -> list[Row]:
    """Opinions of this confidence, or of any between 0.55 and 0.95 that means nothing; 40% win."""
    rng = np.random.default_rng(seed)
    said = [confidence if confidence is not None else float(rng.uniform(0.55, 0.95)) for _ in range(n)]
    return [signal(i, g, gemini=(True, said[i - 1])) for i, g in enumerate(outcomes(n, seed), 1)]


def test_signals_are_counted_by_what_gemini_said_of_them() -> None:
    opinions: list[dict[str, Any]] = [
        {"gemini": (True, 0.8)},
        {"gemini": (True, 0.6)},
        {"gemini": (False, 0.3)},
        {"no_opinion": "no answer within 20 s"},
        {"no_opinion": "not asked"},
        {},
    ]
    found = board([signal(i, 1.0, **opinions[i % 6]) for i in range(60)])

    assert (found.asked, found.answered, found.refused, found.doubted) == (40, 30, 10, 10)
    assert found.reasons == (("no answer within 20 s", 10),)
    assert found.sources == (("gemini-test", 30),)
    assert found.rejection_rate == pytest.approx(1 / 3)
    assert found.rejection == "as wanted"


@pytest.mark.parametrize(
    ("refused", "n", "word"),
    [
        (19, 100, "red flag"),
        (20, 100, "outside what is wanted"),
        (30, 100, "as wanted"),
        (50, 100, "as wanted"),
        (51, 100, "outside what is wanted"),
        (70, 100, "outside what is wanted"),
        (71, 100, "red flag"),
        (0, 19, "too few to judge"),
        (0, 0, "too few to judge"),
    ],
)
def test_the_rejection_rate_is_judged_as_the_design_says(refused: int, n: int, word: str) -> None:
    assert board([signal(i, 1.0, gemini=(i >= refused, 0.8)) for i in range(n)]).rejection == word


def test_a_confidence_that_means_nothing_is_worse_than_the_base_rate_and_said_to_be() -> None:
    found = board(spoken(200, 3))

    assert found.score is not None
    assert found.score.worse
    assert found.score.skill is not None
    assert found.score.skill < -0.2
    assert found.conclusion == f"Its confidence is worse than always saying {found.score.base:.0%}, beyond chance."


def test_the_base_rate_itself_is_not_blamed() -> None:
    assert not any(found.score.worse for s in range(40) if (found := board(spoken(100, s, 0.4))).score)


def test_a_confidence_that_knows_is_praised() -> None:
    rows = [signal(i, g, gemini=(True, 0.8 if g > 0 else 0.2)) for i, g in enumerate(outcomes(100, 2), 1)]
    found = board(rows)

    assert found.score is not None
    assert found.score.skill == pytest.approx(1 - 0.04 / found.score.base_brier)
    assert found.conclusion.startswith("Its confidence tells more than always saying ")


def test_praise_too_waits_for_the_looks_own_error_however_sure_the_interval_shown_looks() -> None:
    right = [i % 20 < 13 for i in range(200)]  # 65% of the opinions lean the right way
    said = [0.5 if (g > 0) == r else 0.3 for g, r in zip(outcomes(200, 2), right, strict=True)]
    found = board([signal(i, g, gemini=(True, said[i - 1])) for i, g in enumerate(outcomes(200, 2), 1)])

    assert (score := found.score) is not None
    assert score.skill_low is not None
    assert score.floor is not None
    assert score.floor < 0 < score.skill_low
    assert found.conclusion.startswith("Its confidence cannot be told from always saying ")


def test_blame_waits_for_the_looks_own_error_too() -> None:
    right = [i % 20 < 9 for i in range(1, 201)]  # 45% of the opinions lean the right way
    said = [0.65 if (g > 0) == r else 0.35 for g, r in zip(outcomes(200, 2), right, strict=True)]
    found = board([signal(i, g, gemini=(True, said[i - 1])) for i, g in enumerate(outcomes(200, 2), 1)])

    assert (score := found.score) is not None
    assert score.skill_high is not None
    assert score.bound is not None
    assert score.skill_high < 0 < score.bound
    assert not score.worse


def test_the_base_rate_has_not_seen_the_outcome_it_is_to_tell() -> None:
    rows = [signal(i, 1.0 if i % 2 else -1.0, gemini=(True, 0.5)) for i in range(50)]
    found = board(rows)

    assert found.score is not None
    assert found.score.brier == pytest.approx(0.25)
    assert found.score.base_brier == pytest.approx((25 / 49) ** 2)


def test_buckets_hold_every_opinion_once_with_its_edges_and_an_interval_around_what_won() -> None:
    said = [0.0, 0.49, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.95, 0.55]
    found = board([signal(i, 1.0 if i % 3 else -1.0, gemini=(True, said[i % 10])) for i in range(100)])

    assert found.score is not None
    assert [(b.low, b.n) for b in found.score.buckets] == [
        (0.0, 20), (0.5, 20), (0.6, 10), (0.7, 10), (0.8, 10), (0.9, 30)
    ]  # fmt: skip
    for bucket in found.score.buckets:
        assert bucket.won_low is not None
        assert bucket.won_high is not None
        assert 0 <= bucket.won_low < bucket.won < bucket.won_high <= 1
        assert bucket.low - 1e-9 <= bucket.predicted <= bucket.high


def test_a_bucket_where_all_won_is_not_sure_of_it() -> None:
    score = board([signal(i, 1.0, gemini=(True, 0.85)) for i in range(50)]).score

    assert score is not None
    assert score.buckets[0].won_high == 1
    assert score.buckets[0].won_low == pytest.approx(0.822, abs=0.001)  # Wilson's, each block of days one row


def test_outcomes_that_are_all_the_same_or_of_one_day_tell_nothing() -> None:
    same = board([signal(i, 1.0, gemini=(True, 0.2)) for i in range(50)])
    one_day = board([signal(i, 1.0 if i % 2 else -1.0, at=i, gemini=(True, 0.1)) for i in range(50)])

    for found in (same, one_day):
        assert found.score is not None
        assert not found.score.worse
        assert found.conclusion.startswith("On 50 closed opinions nothing can be told")


def test_it_is_scored_at_fixed_counts_only_and_says_the_same_in_between() -> None:
    rows = spoken(149, 1)
    few, first, later = board(rows[:49]), board(rows[:100]), board(rows)

    assert (few.score, few.next_look) == (None, 50)
    assert few.conclusion == "49 of 50 closed opinions: too few to score its confidence."
    assert first.score == later.score
    assert (later.closed, later.next_look) == (149, 150)


def test_approved_against_refused_in_r() -> None:
    rows = [signal(i, 1.5 if i % 2 else -1.0, gemini=(bool(i % 2), 0.8)) for i in range(60)]
    score = board(rows, whole=True).score

    assert score is not None
    assert (score.approved.n, score.approved.win_rate, score.refused.n, score.refused.win_rate) == (30, 1.0, 30, 0.0)
    assert score.difference == pytest.approx(2.5)


def test_tokens_cost_what_the_settings_say() -> None:
    rows = [signal(i, 1.0, gemini=(True, 0.8), tokens=(1_000, 200)) for i in range(10)]
    cost = board(rows, Gemini(price_in=1.0, price_out=10.0), now=START + 2 * DAY_MS + 900_000).cost

    assert (cost.prompt_tokens, cost.output_tokens) == (10_000, 2_000)
    assert cost.usd == pytest.approx(0.01 + 0.02)
    assert cost.days == pytest.approx(2.0)
    assert cost.tokens_per_day == pytest.approx(6_000)
    assert cost.usd_per_day == pytest.approx(0.015)


def test_without_a_key_there_is_nothing_to_score() -> None:
    found = board([signal(i, 1.0) for i in range(60)])

    assert signal(1)[0].verdicts[-1] == NO_KEY
    assert (found.asked, found.rejection_rate, found.score) == (0, None, None)
    assert found.conclusion == "Gemini was never asked."


def test_hostile_words_stay_words_and_only_the_commonest_are_kept() -> None:
    rows = [signal(i, 1.0, no_opinion=f"<b>{i}</b>") for i in range(9)]
    rows.append((replace(rows[0][0], decision_id=10), rows[0][1]))

    assert board(rows).reasons == (("<b>0</b>", 2), *((f"<b>{i}</b>", 1) for i in range(1, 5)))


def test_the_board_as_json_says_what_it_concludes() -> None:
    data = board(spoken(100, 1)).data()

    assert data["worse"] is True
    assert data["score"]["look"]["n"] == 100
    assert data["conclusion"].startswith("Its confidence is worse")
