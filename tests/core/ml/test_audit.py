"""Verdicts on filters: a planted worth is found, noise is not, and nothing is said beyond the evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Pair
from core.domain.trading import Regime
from core.engine.audit import FILTERS, AuditPart, audit_part
from core.engine.indicators import REGIMES
from core.ml.audit import Audit, audit
from tests.markets import M15, START, real

DAY = 86_400_000


def part(seed: int, rows: int = 900, days: int = 600, **columns: Any) -> AuditPart:
    """Candidates spread over ``days``, half of which fail the volume filter; R is noise unless given."""
    rng = np.random.default_rng(seed)
    decided = START + np.sort(rng.integers(0, days * DAY, rows)) // M15.ms * M15.ms
    net = rng.choice([-1.1, 0.5, 2.2], rows, p=[0.6, 0.25, 0.15])
    made: dict[str, Any] = {
        "row": np.arange(rows) * 20,
        "sign": rng.choice(np.array([-1, 1], dtype=np.int8), rows),
        "decided": decided,
        "end": decided + rng.integers(1, 100, rows) * M15.ms,
        "bars_since": np.full(rows, -1),
        "adx": rng.uniform(20, 60, rows),
        "rsi": np.full(rows, 50.0),
        "volume_ratio": np.where(rng.random(rows) < 0.5, 0.5, 1.0),
        "regime": np.full(rows, REGIMES.index(Regime.TRENDING), dtype=np.int8),
        "aligned": rng.random(rows) < 0.5,
        "with_btc": rng.random(rows) < 0.8,
        "gross": net + 0.1,
        "net": net,
        "sample": np.ones(rows, dtype=bool),
    }
    return AuditPart(pair=Pair("LINK", "USDT"), strategy=Settings().strategy, **{**made, **columns})


def run(*parts: AuditPart, settings: Settings | None = None) -> Audit:
    return audit(parts, settings or Settings(), START, START + 600 * DAY)


def verdicts(found: Audit) -> dict[str, str]:
    return {f.name: f.verdict for f in found.filters}


def shifted(seed: int, column: str, gain: float) -> AuditPart:
    """Trades that pass ``column``'s filter are ``gain`` R better."""
    plain = part(seed)
    passes = plain.passed(column)
    return part(seed, net=plain.net + gain * passes, gross=plain.gross + gain * passes)


def test_a_filter_in_force_that_keeps_the_better_half_helps_and_is_kept() -> None:
    found = run(shifted(1, "volume", 0.8))

    assert verdicts(found)["volume"] == "helps"
    assert found.conclusion.startswith("Best supported change: none; worth keeping: volume from 0.75")


def test_a_filter_in_force_that_kills_the_better_half_costs_and_should_go() -> None:
    found = run(shifted(1, "volume", -0.8))

    assert verdicts(found)["volume"] == "costs"
    assert found.conclusion.startswith('Best supported change: leave out "volume from 0.75" (+0.')
    assert "would have been" in found.conclusion


def test_a_rule_that_would_help_as_a_veto_is_proposed() -> None:
    found = run(shifted(2, "alignment", 1.0))

    assert verdicts(found)["alignment"] == "helps"
    assert found.conclusion.startswith('Best supported change: take up "alignment veto" (+0.')


def test_a_veto_already_in_force_is_not_proposed_again() -> None:
    vetoing = Settings.model_validate({"rules": {"alignment": "veto"}})

    assert run(shifted(2, "alignment", 1.0), settings=vetoing).conclusion.startswith("Best supported change: none")


def test_noise_gets_a_verdict_in_few_runs() -> None:
    spoken = [set(verdicts(run(part(seed, rows=300))).values()) & {"helps", "costs"} for seed in range(60)]

    assert sum(map(bool, spoken)) <= 6


@pytest.mark.parametrize("good_half", ["earlier", "later"])
def test_what_holds_in_one_half_only_cannot_be_told(good_half: str) -> None:
    plain = part(3)
    early, passes = plain.decided < START + 300 * DAY, plain.passed("volume")
    gain = np.where(early == (good_half == "earlier"), 2.0, -0.4)
    found = run(part(3, net=plain.net + gain * passes))
    volume = next(f for f in found.filters if f.name == "volume")

    assert volume.holm
    assert volume.verdict == "cannot be told"


def test_kills_and_figures_are_counted_over_both_halves() -> None:
    found = run(part(4), part(5))

    for each in found.filters:
        assert each.whole.killed == each.earlier.killed + each.later.killed
        assert each.whole.kept.n == each.earlier.kept.n + each.later.kept.n
        assert each.whole.free.n == each.earlier.free.n + each.later.free.n
    assert [f.name for f in found.filters] == list(FILTERS)
    assert found.candidates == 1_800
    assert sum(r.whole.n for r in found.regimes) == found.candidates


def test_what_a_gap_ended_is_no_sample() -> None:
    plain = part(6)
    lost = plain.decided < START + 100 * DAY

    found = run(part(6, sample=~lost, net=np.where(lost, np.nan, plain.net)))

    assert found.candidates == int((~lost).sum())
    assert all(f.whole.kept.net is None or np.isfinite(f.whole.kept.net) for f in found.filters)


def test_a_variant_stands_beside_the_filters_and_is_counted_among_what_was_looked_at() -> None:
    settings = Settings.model_validate({"variants": {"loud": {"volume_ratio_min": 0.0}}})
    plain = run(shifted(7, "volume", -0.9))
    found = run(shifted(7, "volume", -0.9), settings=settings)

    loud = found.filters[-1]
    assert (loud.name, loud.verdict) == ("variant loud", "helps")
    assert loud.whole.kept.n == next(f for f in found.filters if f.name == "volume").whole.free.n
    assert found.tested == plain.tested + 1
    assert f"{len(FILTERS) + 1} filters looked at, {found.tested} could be tested" in found.conclusion


def test_what_a_variant_alone_kills_are_the_strategys_signals_that_it_refuses() -> None:
    strict = Settings.model_validate({"variants": {"strict": {"adx_min": 40}}})
    made = part(8, rows=400)
    found = run(made, settings=strict).filters[-1].whole

    own = made.signals()
    refused = own & (made.adx < 40)
    assert 0 < refused.sum() < own.sum()
    assert (found.kept.n, found.free.n) == ((own & ~refused).sum(), own.sum())
    assert found.killed_alone == refused.sum()
    assert found.killed_alone_net == pytest.approx(made.net[refused].mean())
    assert found.difference == pytest.approx(made.net[own & ~refused].mean() - made.net[own].mean())


def test_it_is_one_json_object_without_numbers_that_json_has_not() -> None:
    data = json.loads(json.dumps(run(part(8, rows=40)).data(), allow_nan=False))

    assert data["from"] == "2024-01-01T00:00:00Z"
    assert {f["verdict"] for f in data["filters"]} <= {"cannot be told", "changes nothing"}


def test_without_an_outcome_there_is_nothing_to_audit() -> None:
    with pytest.raises(ValueError, match="no candidate with an outcome"):
        run(part(9, sample=np.zeros(900, dtype=bool)))


@pytest.fixture(scope="module")
def real_parts() -> list[AuditPart]:
    btc = real("BTCUSDT")
    return [audit_part(real(symbol), btc, {}, Settings()) for symbol in ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT")]


@pytest.mark.real
def test_on_real_candles_the_signals_are_the_known_ones(real_parts: list[AuditPart]) -> None:
    found = audit(real_parts, Settings(), int(real_parts[0].decided[0]), int(real_parts[0].decided[-1]))
    adx = found.filters[0].whole.kept

    assert (found.signals, adx.n) == (388, 388)
    assert adx.n * (adx.gross or 0.0) == pytest.approx(-50.33, abs=0.01)
    assert adx.n * (adx.net or 0.0) == pytest.approx(-135.25, abs=0.01)


@pytest.mark.real
def test_real_outcomes_moved_to_other_times_seldom_give_a_verdict(real_parts: list[AuditPart]) -> None:
    """All pairs moved by one offset: what moves together still does, but no filter can know anything."""
    first, last = int(real_parts[0].decided[0]), int(real_parts[0].decided[-1])
    rng, below, spoken, trials = np.random.default_rng(1), [], 0, 40
    for offset in rng.uniform(0.05, 0.95, trials) * (last - first):
        found = audit([_moved(part, first, last, int(offset)) for part in real_parts], Settings(), first, last)
        below += [f.whole.p < 0.05 for f in found.filters if f.whole.p is not None]
        spoken += any(f.verdict in ("helps", "costs") for f in found.filters)

    assert np.mean(below) < 0.09
    assert spoken <= 5


def _moved(part: AuditPart, first: int, last: int, offset: int) -> AuditPart:
    lenders = np.flatnonzero(part.sample)
    wanted = (part.decided - first + offset) % (last - first) + first
    lent = lenders[np.searchsorted(part.decided[lenders], wanted) % len(lenders)]
    end = part.decided + part.end[lent] - part.decided[lent]
    everything = np.ones(len(part), dtype=np.bool_)
    return replace(part, net=part.net[lent], gross=part.gross[lent], end=end, sample=everything)
