"""What a layer is worth: nothing where it changes nothing, told where it is planted, and silence where it is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from core.config import Settings
from core.domain.trading import ExitReason, FollowKind, Ruling, Verdict
from core.engine.metrics import max_drawdown
from core.ml.lived import lived
from core.ml.worth import MIN_APART, WHAT_IF_WEIGHT, LayerReport, LayerWorth, layer_report
from tests.lived import AGAINST, AGREES, BTC_AGAINST, COST, Row, outcomes, signal

SETTINGS = Settings()
VETO = Settings.model_validate({"rules": {"alignment": "veto"}})
RECORD = Settings.model_validate({"rules": {"alignment": "record"}})


def report(rows: Sequence[Row], settings: Settings = SETTINGS, approved: float = 0.0, **more: Any) -> LayerReport:
    return layer_report(lived(rows), settings, approved, **more)


def ruled(n: int, seed: int, objected_if_lost: float, objected_if_won: float) -> list[Row]:
    """Signals of which alignment objects to these shares."""
    rng = np.random.default_rng(seed + 1_000)
    return [
        signal(i, gross, alignment=AGAINST if rng.random() < (p := objected_if_won if gross > 0 else objected_if_lost)
               and p else AGREES)
        for i, gross in enumerate(outcomes(n, seed), 1)
    ]  # fmt: skip


def test_a_layer_that_refuses_nothing_changes_nothing() -> None:
    layer = report([signal(i, g) for i, g in enumerate(outcomes(60, 1), 1)]).layer("btc")

    assert (layer.verdict, layer.asked, layer.apart) == ("changes nothing", 50, 0)
    assert layer.with_it == layer.without
    assert layer.difference is None


@trying(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1.5, 4), min_size=50, max_size=70), st.booleans())
def test_whatever_the_outcomes_no_refusal_is_no_worth(gross: list[float], whole: bool) -> None:
    rows = [signal(i, g, gemini=(True, 0.9), rank=1.0) for i, g in enumerate(gross, 1)]
    found = report(rows, approved=0.25, whole=whole)

    assert {layer.verdict for layer in found.layers} == {"changes nothing"}
    assert found.tested == 0


def test_a_layer_nobody_asked_is_never_asked() -> None:
    found = report([signal(i, 1.0, alignment=None) for i in range(1, 61)])

    assert {name: found.layer(name).verdict for name in ("alignment", "gemini", "model")} == dict.fromkeys(
        ("alignment", "gemini", "model"), "never asked"
    )


@pytest.mark.parametrize(("lost", "won", "verdict"), [(0.7, 0.15, "helps"), (0.15, 0.7, "costs")])
def test_a_planted_worth_is_found(lost: float, won: float, verdict: str) -> None:
    layer = report(ruled(300, 5, lost, won), VETO).layer("alignment")

    assert layer.verdict == verdict
    assert layer.p is not None
    assert layer.p < 0.001


def test_noise_is_seldom_called_anything() -> None:
    """60 lives of three looks at five layers: at 5% a life, more than 8 would be chance of less than 1%."""
    called = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = [
            signal(
                i,
                gross,
                alignment=AGAINST if rng.random() < 0.5 else AGREES,
                gemini=(bool(rng.random() < 0.6), float(rng.uniform(0.6, 0.95))),
                rank=float(rng.random()),
            )
            for i, gross in enumerate(outcomes(200, seed), 1)
        ]
        closed = lived(rows)
        found = [layer_report(closed[:n], SETTINGS, 0.0) for n in (50, 100, 200)]
        called += any(layer.verdict in ("helps", "costs") for one in found for layer in one.layers)

    assert called <= 8


def test_half_size_counts_half_in_every_figure() -> None:
    rows = [signal(i, 2.0 if i % 2 else -1.0, alignment=AGREES if i % 2 else AGAINST) for i in range(1, 51)]
    layer = report(rows).layer("alignment")
    half = layer.with_it

    assert half is not None
    assert half.n == 50
    assert half.win_rate == pytest.approx(2 / 3)  # 25 winners at full size, 25 losers at half
    assert half.gross == pytest.approx((25 * 2.0 - 25 * 0.5) / 37.5)
    assert half.total == pytest.approx(25 * (2.0 - COST) - 25 * 0.5 * (1.0 + COST))
    assert layer.refused is not None
    assert layer.refused.n == 25
    assert layer.refused.net == pytest.approx(-1.0 - COST)


def test_a_rule_counts_as_its_mode_of_today_whatever_it_did_then() -> None:
    rows = ruled(120, 3, 0.5, 0.5)
    halved, refused, noted = (report(rows, s).layer("alignment") for s in (SETTINGS, VETO, RECORD))

    assert halved.with_it is not None
    assert refused.with_it is not None
    assert halved.with_it.n == 100 > refused.with_it.n
    assert noted.words == "alignment (if it refused)"
    assert replace(noted, words=refused.words) == refused
    assert report(rows, RECORD).layer("everything").verdict == "changes nothing"  # it is not in force


def test_what_a_rule_cannot_tell_is_counted_and_passes_or_not_as_the_settings_say() -> None:
    lost = Verdict("rules", "btc", Ruling.UNKNOWN, None, "too few BTC candles")
    refused = Verdict("rules", "btc", Ruling.REFUSE, None, "too few BTC candles")
    rows = [signal(i, 1.0, btc=(lost, refused, BTC_AGAINST)[i % 3]) for i in range(1, 61)]
    found = report(rows, whole=True)
    strict = report(rows, Settings.model_validate({"rules": {"unknown": "refuse"}}), whole=True)

    assert (found.layer("btc").asked, found.layer("btc").unknown, found.layer("btc").apart) == (60, 40, 20)
    assert strict.layer("btc").apart == 60
    assert found.layer("everything").apart == 20
    assert strict.layer("everything").apart == 60


def test_gemini_refuses_by_its_no_by_a_low_confidence_and_by_silence_as_the_settings_say() -> None:
    opinions = [{"gemini": (True, 0.8)}, {"gemini": (True, 0.6)}, {"gemini": (False, 0.9)}, {"no_opinion": "late"}]
    rows = [signal(i, 1.0, **opinions[i % 4]) for i in range(60)]  # type: ignore[arg-type]
    strict, lenient = (
        report(rows, whole=True),
        report(rows, Settings.model_validate({"gemini": {"on_no_opinion": "rules"}}), whole=True),
    )

    assert strict.layer("gemini").asked == 60
    assert (strict.layer("gemini").apart, lenient.layer("gemini").apart) == (45, 30)


def test_a_confidence_of_exactly_the_threshold_is_let_through_as_trading_does() -> None:
    rows = [signal(i, 1.0, gemini=(True, 0.7 if i % 2 else 0.69)) for i in range(1, 101)]

    assert report(rows).layer("gemini").apart == 50


def test_a_pair_that_was_switched_off_was_never_put_before_gemini() -> None:
    rows = [signal(i, 1.0, no_opinion="not asked") for i in range(1, 61)]

    assert report(rows).layer("gemini").verdict == "never asked"
    assert report(rows).layer("everything").asked == 0


def test_the_model_is_counted_with_the_approved_weight_or_as_a_what_if() -> None:
    rows = [signal(i, 1.0, gemini=(True, 0.75), rank=(i % 10) / 10) for i in range(1, 101)]
    asked, granted = report(rows), report(rows, approved=0.25)

    assert (asked.weight, asked.what_if) == (WHAT_IF_WEIGHT, True)
    assert asked.layer("model").words == "model (what if 0.5)"
    assert asked.layer("model").apart == 70  # 0.375 + rank / 2 reaches 0.7 from a rank of 0.65 on
    assert (granted.what_if, granted.layer("model").words) == (False, "model (0.25)")
    assert granted.layer("model").apart == 60  # 0.5625 + rank / 4: from 0.55 on
    assert granted.layer("everything").apart == 60
    assert asked.layer("everything").verdict == "changes nothing"  # without a weight it is not in force


def test_a_model_may_also_let_through_what_gemini_alone_would_not() -> None:
    rows = [signal(i, 1.0, gemini=(True, 0.65), rank=1.0 if i % 2 else 0.0) for i in range(1, 101)]
    layer = report(rows).layer("model")

    assert layer.with_it is not None
    assert layer.without is not None
    assert (layer.with_it.n, layer.without.n) == (50, 0)
    assert layer.verdict == "cannot be told"


def test_the_scale_says_what_enters() -> None:
    probability = Settings.model_validate({"ml": {"scale": "probability"}})
    rows = [signal(i, 1.0, gemini=(True, 0.75), rank=0.9) for i in range(1, 101)]
    low = [(replace(d, ml_probability=0.4), f) for d, f in rows]

    assert report(low).layer("model").apart == 0
    assert report(low, probability).layer("model").apart == 100


def test_a_prediction_that_came_with_the_outcome_is_left_out() -> None:
    rows = [signal(i, 1.0, rank=0.1) for i in range(1, 61)]
    late = [(replace(d, decided_at=f.follow.exit_time or 0), f) for d, f in rows]
    known = [(replace(d, decided_at=(f.follow.exit_time or 0) + 900_000), f) for d, f in rows]

    assert report(late).outcomes == 60
    assert report(known).outcomes == 0


def test_what_is_no_outcome_is_left_out() -> None:
    fine = [signal(i, 1.0) for i in range(1, 4)]
    out = [
        signal(4, 1.0, exit_reason=ExitReason.GAP),
        signal(5, 1.0, exit_reason=ExitReason.MANUAL),
        signal(6, 1.0, exit_reason=None),
        signal(7, 1.0, status="missed"),
        signal(8, float("nan")),
    ]
    candidate, follow = signal(9, 1.0, status="candidate")
    out.append((replace(candidate, is_signal=False), replace(follow, kind=FollowKind.SHADOW_CANDIDATE)))

    assert [s.decision.decision_id for s in lived([*out, *reversed(fine)])] == [1, 2, 3]


def test_a_trade_and_a_shadow_count_alike() -> None:
    gross = outcomes(60, 2)
    traded = [signal(i, g, status="taken", alignment=AGAINST if i % 2 else AGREES) for i, g in enumerate(gross, 1)]
    shadows = [signal(i, g, alignment=AGAINST if i % 2 else AGREES) for i, g in enumerate(gross, 1)]

    assert report(traded).layers == report(shadows).layers
    assert (report(traded).trades, report(shadows).trades) == (60, 0)


def test_nothing_is_said_before_the_first_look_and_nothing_new_between_two() -> None:
    rows = ruled(149, 4, 0.8, 0.1)
    before, first, later = report(rows[:49]), report(rows[:100]), report(rows)

    assert before.look is None
    assert all(layer.with_it is None and layer.p is None for layer in before.layers)
    assert before.layer("alignment").apart > 0
    assert before.conclusion == "49 of 50 closed signals: nothing can be said yet."
    assert first.layers == later.layers
    assert (first.look and first.look.n, later.outcomes) == (100, 149)


def test_later_outcomes_never_change_an_earlier_look() -> None:
    rows = ruled(99, 4, 0.8, 0.1)
    other = [*rows[:60], *((d, replace(f, r_net=-9.0)) for d, f in rows[60:])]

    assert report(rows).layers == report(other).layers


def test_all_looks_together_spend_the_error_once() -> None:
    looks = [report(ruled(n, 1, 0.5, 0.5)).look for n in (50, 100, 150, 200)]

    assert [look.error for look in looks if look] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12, 0.0025])


def test_a_handful_of_refusals_is_never_enough_however_clear_they_look() -> None:
    rows = [signal(i, 1.0 + 0.1 * (i % 5), alignment=AGREES) for i in range(1, 301)]
    few = [signal(i, -1.0, alignment=AGAINST) if i % 25 == 0 else row for i, row in enumerate(rows, 1)]
    layer = report(few, VETO).layer("alignment")

    assert 0 < layer.apart < MIN_APART
    assert (layer.p, layer.verdict) == (None, "cannot be told")


@trying(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1.5, 4), st.booleans(), st.integers(1, 90)), min_size=1, max_size=60),
    st.sampled_from([SETTINGS, VETO]),
)
def test_the_drawdown_is_that_of_the_metrics_in_the_order_of_closing(
    planted: list[tuple[float, bool, int]], settings: Settings
) -> None:
    rows = [
        signal(i, gross, at=10 * i, bars=bars, alignment=AGAINST if against else AGREES)
        for i, (gross, against, bars) in enumerate(planted, 1)
    ]
    size = 0.5 if settings is SETTINGS else 0.0
    closing = sorted(range(len(planted)), key=lambda i: (10 * i + planted[i][2], i))
    sized = [(planted[i][0] - COST) * (size if planted[i][1] else 1.0) for i in closing]
    layer = report(rows, settings, whole=True).layer("alignment")

    assert layer.with_it is not None
    assert layer.with_it.drawdown == pytest.approx(max_drawdown(np.cumsum([0.0, *sized])), abs=1e-9)
    assert layer.with_it.total == pytest.approx(sum(sized), abs=1e-9)


@trying(max_examples=30, deadline=None)
@given(st.text(), st.sampled_from(list(Ruling)), st.floats(allow_nan=True), st.text())
def test_verdicts_of_unknown_layers_and_hostile_words_change_nothing(
    name: str, ruling: Ruling, number: float, words: str
) -> None:
    rows = [signal(i, g, gemini=(True, 0.8), rank=0.9) for i, g in enumerate(outcomes(60, 1), 1)]
    strange = Verdict(f"x{name}", name, ruling, number, words)
    hostile = [(replace(d, verdicts=(*d.verdicts, strange), reason=words, gemini_reasoning=words), f) for d, f in rows]

    assert report(hostile) == report(rows)


def test_opinions_that_are_no_probabilities_are_no_opinions() -> None:
    rows = [signal(i, 1.0, gemini=(True, 7.0), rank=float("nan")) for i in range(1, 61)]
    found = report(rows)

    assert found.layer("model").verdict == "never asked"
    assert found.layer("gemini").apart == 50  # refused as no opinion is


def test_an_empty_ledger_is_a_sentence() -> None:
    found = report([])

    assert found.conclusion == "0 of 50 closed signals: nothing can be said yet."
    assert {layer.verdict for layer in found.layers} == {"never asked"}
    assert report([], whole=True) == found


def test_the_report_as_json_names_every_layer() -> None:
    data = report(ruled(60, 1, 0.5, 0.5)).data()

    assert [layer["name"] for layer in data["layers"]] == ["alignment", "btc", "gemini", "model", "everything"]
    assert isinstance(report(ruled(60, 1, 0.5, 0.5)).layer("btc"), LayerWorth)
    with pytest.raises(KeyError):
        report([]).layer("luck")
