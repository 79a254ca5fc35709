"""Model on against model off: only what was known at each decision, and sums that add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Ml
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import Evaluation, walk_forward
from core.ml.on_off import on_off, ranks
from core.ml.prediction import percentile_of
from tests.core.ml.planted import table


def data(effect: float = 0.0, n: int = 300) -> Dataset:
    return from_table(table(n, effect=effect))


def test_a_rank_is_that_of_the_bot_among_earlier_predictions_of_the_same_model() -> None:
    rng = np.random.default_rng(1)
    chance = rng.choice(np.linspace(0.2, 0.6, 9), 600)
    fold = np.repeat([0, 1], 300)
    time = np.arange(600) // 2 * 900_000  # two pairs at each close
    found = ranks(chance, fold, time)

    assert (found[0], found[1], found[300], found[301]) == (0.5, 0.5, 0.5, 0.5)
    assert found[299] == percentile_of(chance[299], chance[:298].tolist())
    assert found[502] == percentile_of(chance[502], chance[300:502].tolist())


def test_the_future_changes_no_rank() -> None:
    rng = np.random.default_rng(2)
    chance, fold, time = rng.random(200), np.zeros(200, dtype=np.int64), np.arange(200) * 900_000
    other = np.where(np.arange(200) >= 120, 0.5, chance)

    np.testing.assert_array_equal(ranks(chance, fold, time)[:120], ranks(other, fold, time)[:120])


def test_a_model_that_knows_takes_the_better_signals_and_says_by_how_much() -> None:
    rows = data(effect=2.0, n=500)
    found = on_off(rows, walk_forward(rows, Ml()), Ml())
    assert found is not None
    off, on, half = found.rules

    assert off.n == len(found.r) == 300
    assert 0.3 * off.n < on.n < 0.5 * off.n
    assert on.n < half.n
    assert on.gain_low is not None
    assert on.gain_low > 0
    assert off.gain is None
    assert on.mean is not None
    assert off.mean is not None
    assert on.gain == pytest.approx(on.mean - off.mean)


def test_profits_stand_in_the_order_of_closing() -> None:
    rows = data()
    late = np.arange(len(rows)) == len(rows) - 50
    rows = replace(rows, end_time=np.where(late, rows.end_time.max() + 1, rows.end_time))
    rows = replace(rows, r=np.where(late, 7.0, rows.r), r_net=np.where(late, 7.0, rows.r_net))
    found = on_off(rows, walk_forward(rows, Ml()), Ml())

    assert found is not None
    assert found.r[-1] == 7.0
    assert (np.diff(found.closed) > 0).all()


def test_a_curve_ends_at_its_sum_and_stays_where_nothing_is_taken() -> None:
    rows = data()
    found = on_off(rows, walk_forward(rows, Ml()), Ml())
    assert found is not None

    assert (np.diff(found.closed) >= 0).all()
    for rule in found.rules:
        curve = rule.curve(found.r)
        assert curve[-1] == pytest.approx(rule.total)
        assert (np.diff(curve)[~rule.taken[1:]] == 0).all()
        assert rule.drawdown == pytest.approx((np.maximum.accumulate([0, *curve]) - [0, *curve]).max())


def test_it_is_net_and_where_costs_are_not_known_it_says_gross() -> None:
    rows = data()
    evaluated = walk_forward(rows, Ml())
    net, gross = on_off(rows, evaluated, Ml()), on_off(replace(rows, r_net=np.full(300, np.nan)), evaluated, Ml())
    assert net is not None
    assert gross is not None

    assert (net.net, gross.net) == (True, False)
    np.testing.assert_allclose(gross.r - net.r, 0.2)


def test_only_signals_count_but_candidates_are_ranked_among() -> None:
    rows = data()
    mixed = replace(rows, is_signal=np.arange(300) % 3 == 0)
    evaluated = walk_forward(mixed, Ml())
    found = on_off(mixed, evaluated, Ml())
    assert found is not None

    assert found.rules[0].n == evaluated.metrics.n == 60
    assert on_off(replace(rows, is_signal=np.zeros(300, dtype=bool)), evaluated, Ml()) is None


def test_with_plain_probabilities_the_rule_asks_for_a_probability() -> None:
    rows = data()
    evaluated = replace_probability(walk_forward(rows, Ml()), 0.61)
    on = {scale: on_off(rows, evaluated, Ml(scale=scale)) for scale in ("percentile", "probability")}

    assert on["probability"] is not None
    assert on["percentile"] is not None
    assert on["probability"].rules[1].n == on["probability"].rules[0].n
    assert on["percentile"].rules[1].n == 0


def replace_probability(found: Evaluation, value: float) -> Evaluation:
    return replace(found, probability=np.full(len(found.probability), value))
