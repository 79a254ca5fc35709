"""What a weight would have done: pure, on hand-made ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import Pair
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import Direction, Follow, FollowKind, Levels, Regime, Ruling, Snapshot, Verdict
from core.ml.preview import DIAL, dial, past_signals, preview, weight_card
from core.ports import TradeRow
from tests.ledgers import settings
from tests.markets import M15, START

NUMBERS = (100.0, 99.0, 55.0, 30.0, 25.0, 15.0, 1.0, 1.0, 10.0, 1.2, 1.0, 0.55)  # sma_15 to hurst
RULE_SAYS_NO = Verdict("rules", "btc", Ruling.REFUSE, 0.9, "BTC 1h down, correlation 0.90")
GEMINI_SAYS_NO = Verdict("gemini", "gemini", Ruling.REFUSE, 0.9, "Gemini refuses at 0.90")
TOO_LOW = Verdict("combined", "confidence", Ruling.REFUSE, 0.6, "confidence 0.60 is below 0.70")
PERCENTILE, PROBABILITY = settings(), settings(ml={"scale": "probability"})


def row(
    number: int,
    probability: float | None,
    *,
    rank: float | None = None,
    gemini: float | None = 0.8,
    verdicts: tuple[Verdict, ...] = (),
    r_net: float | None = None,
    risk: float = 0.0,
    **changes: object,
) -> TradeRow:
    """A signal, one a day, with the word of Gemini and of the model."""
    opened = START + number * 96 * M15.ms
    decision = DecisionRecord(
        decision_id=number + 1,
        pair=Pair.parse("LINK/USDT"),
        timeframe="15m",
        open_time=opened,
        direction=Direction.LONG,
        is_signal=True,
        status="taken" if risk else "refused",
        reason="",
        snapshot=Snapshot(opened, 100.0, *NUMBERS, Regime.TRENDING, 0, 0),
        verdicts=verdicts,
        decided_at=opened + M15.ms,
        risk_amount=risk,
        ml_probability=probability,
        ml_average=0.4,
        ml_rank=rank,
        model_id="m1",
        gemini_confidence=gemini,
    )
    levels = Levels(Direction.LONG, 100.0, 98.0, (103.0, 105.0, 108.0))
    follow = FollowRecord(
        number + 1, number + 1, FollowKind.TRADE, decision.pair, Follow(levels, opened), opened, r_net=r_net
    )
    return TradeRow(replace(decision, **changes), follow)  # type: ignore[arg-type]


def of_ranks(*ranks: float) -> list[TradeRow]:
    return [row(n, 0.36, rank=rank, risk=100.0, r_net=1.0) for n, rank in enumerate(ranks)]


def test_the_flips_are_listed_one_by_one_with_what_became_of_them() -> None:
    rows = [
        row(0, 0.31, rank=0.1, risk=100.0, r_net=-1.2),
        row(1, 0.44, rank=0.9, risk=120.0, r_net=1.5),
        row(2, 0.45, rank=0.95, gemini=0.66, verdicts=(TOO_LOW,), r_net=0.5),
    ]

    shown = preview(past_signals(rows), 0.25, PERCENTILE, None)

    assert shown.sentence == "With weight 0.25, 2 of the last 3 signals flip: 2 taken instead of 2."
    assert [flip.sentence for flip in shown.flips] == [
        "LINK LONG 1 Jan 00:15 UTC: taken → refused, 0.80 → 0.63, -1.20R net",
        "LINK LONG 3 Jan 00:15 UTC: refused → taken, 0.66 → 0.73, +0.50R net",
    ]
    assert shown.worth == "Net +2.00R (+180 USDT without 1 of unknown size) with it, +0.30R (+60 USDT) without."


def test_open_trades_are_counted_but_worth_nothing_yet() -> None:
    rows = [row(0, 0.3, rank=0.0, risk=100.0), row(1, 0.5, rank=1.0, risk=100.0)]
    assert (
        preview(past_signals(rows), 0.5, PERCENTILE, None).worth
        == "Net +0.00R (1 open) with it, +0.00R (2 open) without."
    )


def test_the_ramp_holds_a_weight_down_and_the_card_says_both_what_it_does_now_and_later() -> None:
    """At 60 live outcomes 0.25 counts (60 - 20) / 180 = 0.22: 0.8 * 0.78 + 0.37 * 0.22 = 0.704 still passes."""
    card = weight_card(past_signals(of_ranks(0.37, 0.9, 0.9)), 0.25, PERCENTILE, outcomes=60)
    assert card.lines == (
        "With weight 0.25 (it counts 0.22 at 60 live outcomes), 0 of the last 3 signals flip: 3 taken instead of 3.",
        "200 or more outcomes: With weight 0.25, 1 of the last 3 signals flips: 2 taken instead of 3.",
        "Net +2.00R (+200 USDT) with it, +3.00R (+300 USDT) without.",
        "LINK LONG 1 Jan 00:15 UTC: taken → refused, 0.80 → 0.69, +1.00R net",
    )


def test_the_first_line_says_when_fewer_than_half_of_todays_trades_are_left() -> None:
    signals = past_signals(of_ranks(0.1, 0.2, 0.3, 0.9))
    assert weight_card(signals, 0.25, PERCENTILE, 200).title == (
        "May the model count 0.25 beside Gemini? It would take fewer than half of today's trades (1 of 4)."
    )
    assert weight_card(past_signals(of_ranks(0.1, 0.2, 0.5, 0.9)), 0.25, PERCENTILE, 200).title == (
        "May the model count 0.25 beside Gemini?"
    )


def test_a_weight_that_halves_trading_only_when_the_ramp_has_run_out_is_told_of_too() -> None:
    card = weight_card(past_signals(of_ranks(0.1, 0.2, 0.3, 0.9)), 0.75, PERCENTILE, outcomes=30)
    assert "(it counts 0.06 at 30 live outcomes), 0 of the last 4 signals flip" in card.lines[0]
    assert "fewer than half of today's trades (1 of 4)" in card.title


def test_without_a_stored_prediction_the_card_says_that_nothing_can_be_previewed() -> None:
    card = weight_card(past_signals([row(0, None, risk=100.0)]), 0.25, PERCENTILE, 60)
    assert card.lines == ("No past signal has a stored prediction, so nothing can be previewed.",)


def test_a_rank_that_was_not_stored_comes_from_the_same_models_earlier_predictions_only() -> None:
    rows = [
        row(0, 0.30),
        row(1, 0.40, is_signal=False, status="candidate"),  # not asked about, but it had a prediction
        row(2, 0.99, model_id="m0"),
        row(3, 0.35),
        row(4, 0.10),
    ]
    assert [s.rank for s in past_signals(rows)] == [0.5, 0.5, 0.5, 0.0]
    assert [s.rank for s in past_signals([*rows, row(5, 0.90, rank=0.25)])][-1] == 0.25


def test_signals_decided_together_are_not_ranked_among_each_other() -> None:
    first = row(0, 0.3)
    together = [replace(r, decision=replace(r.decision, decided_at=9)) for r in (row(1, 0.1), row(2, 0.2))]
    early = replace(first, decision=replace(first.decision, decided_at=8))
    assert [s.rank for s in past_signals([early, *together])] == [0.5, 0.0, 0.0]


def test_a_later_prediction_changes_no_earlier_rank() -> None:
    rng = np.random.default_rng(4)
    rows = [row(n, float(p)) for n, p in enumerate(rng.uniform(0.2, 0.6, 25))]
    assert past_signals(rows[:20]) == past_signals(rows)[:20]


def test_only_the_last_thirty_decided_signals_count_and_missed_ones_do_not() -> None:
    rows = [row(n, 0.4) for n in range(35)] + [row(35, 0.4, status="missed")]
    assert [s.decision_id for s in past_signals(rows)] == list(range(6, 36))


chance = st.floats(0, 1)
anything = st.lists(
    st.tuples(chance, chance, st.none() | chance, st.sets(st.sampled_from([RULE_SAYS_NO, GEMINI_SAYS_NO, TOO_LOW]))),
    max_size=8,
)


@given(anything, chance, st.sampled_from([PERCENTILE, PROBABILITY]))
def test_weight_nothing_flips_nothing_and_what_another_layer_refused_never_flips(
    found: Sequence[tuple[float, float, float | None, set[Verdict]]], weight: float, config: object
) -> None:
    rows = [
        row(n, p, rank=rank, gemini=gemini, verdicts=tuple(verdicts))
        for n, (p, rank, gemini, verdicts) in enumerate(found)
    ]
    signals = past_signals(rows)
    assert preview(signals, 0.0, config, None).flips == ()  # type: ignore[arg-type]
    shown = preview(signals, weight, config, None)  # type: ignore[arg-type]
    refused = {r.decision.decision_id for r in rows if {RULE_SAYS_NO, GEMINI_SAYS_NO} & set(r.decision.verdicts)}
    assert not refused & {flip.signal.decision_id for flip in shown.flips}
    assert shown.after.taken - shown.before.taken == sum(1 if f.taken else -1 for f in shown.flips)


def planted(seed: int = 11) -> list[TradeRow]:
    """Calibrated probabilities as real candles give them: around 0.36, hardly any above 0.5; Gemini at 0.72 to 0.95."""
    rng = np.random.default_rng(seed)
    probabilities = np.clip(rng.normal(0.36, 0.06, 260), 0.05, 0.95)
    return [
        row(n, float(p), gemini=float(rng.uniform(0.72, 0.95)), risk=100.0, r_net=float(rng.normal(0, 1)))
        for n, p in enumerate(probabilities)
    ]


def test_probability_stops_nearly_all_trading_at_one_half_and_percentile_does_not() -> None:
    """docs/weight.md shows these figures."""
    signals = past_signals(planted(), 200)
    taken = {
        scale: [p.after.taken for p in previews]
        for scale, previews in dial(signals, PERCENTILE, outcomes=200).previews.items()
    }
    assert taken == {"percentile": [200, 138, 85, 67, 62], "probability": [200, 115, 1, 0, 0]}

    table = (Path(__file__).parents[3] / "docs/weight.md").read_text()
    for scale, counts in taken.items():
        assert f"| taken under {scale} | {' | '.join(map(str, counts))} |" in table
    assert f"| weight | {' | '.join(f'{w:g}' for w in DIAL)} |" in table


@pytest.mark.parametrize("approved", [0.0, 0.25])
def test_the_dial_knows_what_counts_today(approved: float) -> None:
    found = dial(past_signals(of_ranks(0.5)), PERCENTILE, outcomes=60, approved=approved)
    assert found.cap == pytest.approx(40 / 180)
    assert found.weight == pytest.approx(min(approved, 40 / 180))
