"""Which change of a rule is worth asking for: a proven one first, then the best lower bound, and never a worse one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Settings
from core.domain.trading import Regime
from core.engine.audit import AuditPart
from core.engine.indicators import REGIMES
from core.ml.suggestion import best, suggestions
from core.services.changes import CHANGEABLE, changed
from tests.core.ml.test_audit import part, run, shifted

OWN = Settings()


def costly() -> AuditPart:
    """What the volume filter refuses wins, what it lets through loses."""
    plain = part(1)
    net = plain.net + 0.6 - 0.8 * plain.passed("volume")
    return part(1, net=net, gross=net)


def test_a_filter_that_costs_is_left_out() -> None:
    found = best(run(costly()), OWN)

    assert found is not None
    assert (found.name, found.values, found.proven) == ("volume", {"strategy.volume_ratio_min": 0.0}, True)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.gain < found.high
    assert found.then.n > found.now.n
    assert found.sentence.startswith('Leave out "volume from 0.75": +0.')


def test_more_signals_that_lose_a_little_less_are_not_worth_asking_for() -> None:
    """Both halves lose: without the filter a signal loses less, and all together lose more."""
    audit = run(shifted(1, "volume", -0.8))
    volume = {s.name: s for s in suggestions(audit, OWN)}["volume"]

    assert volume.proven
    assert volume.gain > 0
    assert not volume.worth_asking
    found = best(audit, OWN)
    assert found is None or found.name != "volume"


def test_a_rule_that_would_help_is_taken_up_as_a_veto() -> None:
    found = best(run(shifted(2, "alignment", 1.0)), OWN)

    assert found is not None
    assert (found.name, found.values, found.proven) == ("alignment", {"rules.alignment": "veto"}, True)
    assert found.then.n < found.now.n


@pytest.mark.parametrize(
    ("regime", "gain", "refused", "words"),
    [
        ("CHOPPY", 1.0, "none", "take signals in CHOPPY markets"),
        ("VOLATILE", -1.0, "CHOPPY+VOLATILE", "refuse signals in VOLATILE markets"),
    ],
)
def test_a_regime_comes_back_where_it_was_better_and_goes_where_it_was_worse(
    regime: str, gain: float, refused: str, words: str
) -> None:
    plain = part(3, rows=1_200)
    here = np.random.default_rng(1).random(1_200) < 0.4
    code = REGIMES.index(Regime(regime))
    net = plain.net + 0.3 + gain * here
    found = best(run(part(3, rows=1_200, net=net, gross=net, regime=np.where(here, code, plain.regime))), OWN)

    assert found is not None
    assert (found.values, found.words) == ({"strategy.refused_regimes": refused}, words)
    assert found.proven


def test_nothing_that_is_named_is_beyond_what_the_chat_may_change_and_all_of_it_is_possible() -> None:
    for seed in range(3):
        for each in suggestions(run(part(seed), part(seed + 9)), OWN):
            assert set(each.values) <= set(CHANGEABLE)
            changed(OWN, each.values)


def test_of_noise_nothing_is_proven_and_what_looks_better_is_the_best_lower_bound() -> None:
    audit = run(part(5), part(6))
    all_of_them = suggestions(audit, OWN)
    found = best(audit, OWN)

    assert not any(s.proven for s in all_of_them)
    bounds = [s.low for s in all_of_them if s.low is not None]
    assert bounds == sorted(bounds, reverse=True)
    assert found is None or found.gain > 0


def test_a_proven_change_goes_before_one_that_only_looks_better() -> None:
    audit = run(costly())
    shown = {f.name: f for f in audit.filters}
    proven = shown["volume"]
    assert proven.whole.high is not None
    flattered = replace(
        shown["cooldown"], whole=replace(proven.whole, high=proven.whole.high - 9), verdict="cannot be told"
    )
    filters = tuple(flattered if f.name == "cooldown" else f for f in audit.filters)
    found = suggestions(replace(audit, filters=filters), OWN)

    assert [(s.name, s.proven) for s in found[:2]] == [("volume", True), ("cooldown", False)]


def test_where_every_change_would_have_been_worse_nothing_is_suggested() -> None:
    """Each filter in force keeps what is better, each rule that is not would refuse it."""
    good = part(7)
    kept, shut = good.passed("volume"), good.passed("alignment") & good.passed("btc")
    net = good.net + 2.0 * kept - 2.0 * shut
    audit = run(part(7, net=net, gross=net))

    assert all(s.gain <= 0 for s in suggestions(audit, OWN) if s.name in ("volume", "alignment", "btc"))
    found = best(audit, OWN)
    assert found is None or found.name not in ("volume", "alignment", "btc")


def test_a_variant_of_the_filters_is_taken_up_by_its_own_numbers() -> None:
    config = Settings.model_validate({"variants": {"free": {"volume_ratio_min": 0.1, "refused_regimes": []}}})
    audit = run(shifted(1, "volume", -0.8), settings=config)
    found = {s.name: s for s in suggestions(audit, config)}["variant free"]

    assert found.values == {"strategy.volume_ratio_min": 0.1, "strategy.refused_regimes": "none"}
    assert found.words == "take the filters of 'free'"


def test_a_rule_that_refuses_already_is_let_go_and_not_taken_up_again() -> None:
    config = Settings.model_validate({"rules": {"alignment": "veto"}})
    found = {s.name: s for s in suggestions(run(shifted(2, "alignment", -1.0), settings=config), config)}["alignment"]
    assert (found.values, found.gain > 0) == ({"rules.alignment": "record"}, True)
