"""Variants in the live loop: their choice is stored with the decision, a restart changes none, and changes no trade."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config import Settings
from core.domain.candles import Pair
from core.domain.ledger import Controls, DecisionRecord
from core.domain.trading import Ruling, Verdict
from core.engine.audit import audit_part
from core.engine.variants import LAYER, label_of, variant_label
from core.services.changes import with_changes
from core.services.variant import contests_of, ever_tried, variant_reports
from tests.ledgers import PAIRS, Books, Stage, books, facts_of, market, settings
from tests.markets import M15

FIRST, LAST = 500, 1_300
MARKET = market(LAST)
VARIANTS = {"strict": {"adx_min": 30}, "open": {"refused_regimes": [], "cooldown_bars": 100}}
RULES = settings(variants=VARIANTS)


async def live(kept: Books, rules: Settings, *stops: int, first: int = FIRST, last: int = LAST) -> None:
    """The loop through rows ``first`` to ``last``, killed and begun again at each stop."""
    for start, end in zip((first, *stops), (*stops, last), strict=True):
        stage = await Stage.begin(kept, start, rules)
        for candles in MARKET.values():
            stage.loop.warm(candles.rows(0, start))
        await stage.play(MARKET, start, end)


def choices(decisions: list[DecisionRecord]) -> list[tuple[Any, ...]]:
    return [(str(d.pair), d.open_time, v) for d in decisions for v in d.verdicts if v.layer == LAYER]


@pytest.fixture
async def run(tmp_path: Path) -> list[DecisionRecord]:
    async with books(tmp_path) as kept:
        await live(kept, RULES)
        return await kept.ledger.decisions()


async def test_every_candidate_carries_each_variants_choice_and_the_audit_agrees(run: list[DecisionRecord]) -> None:
    assert len(choices(run)) == 2 * len(run) > 40
    assert {v.ruling for _, _, v in choices(run)} == {Ruling.RECORD}
    for pair in map(Pair.parse, PAIRS):
        part = audit_part(MARKET[pair].rows(0, LAST), None, {}, RULES, start_ms=int(MARKET[pair].time[FIRST]))
        for name, variant in RULES.variants.items():
            expected = dict(zip(part.decided - M15.ms, part.variant_signals(variant), strict=True))
            found = {d.open_time: _number(d, name) for d in run if d.pair == pair and d.open_time in expected}
            assert found == expected


def _number(decision: DecisionRecord, name: str) -> float | None:
    return next(v.number for v in decision.verdicts if v.rule == name)


async def test_a_restart_changes_no_verdict(tmp_path: Path, run: list[DecisionRecord]) -> None:
    (tmp_path / "again").mkdir()
    async with books(tmp_path / "again") as kept:
        await live(kept, RULES, 640, 641, 803, 1_100)

        assert choices(await kept.ledger.decisions()) == choices(run)


async def test_a_variant_put_back_goes_by_the_signals_of_its_own_rules_alone(tmp_path: Path) -> None:
    """Its cooldown is 100 candles: a signal that other rules gave under its name would be felt."""
    found, label = [], variant_label("open", RULES)
    for name, meanwhile in (("removed", {}), ("changed", {"open": {"adx_min": 0}})):
        (tmp_path / name).mkdir()
        async with books(tmp_path / name) as kept:
            await live(kept, RULES, last=800)
            await live(kept, settings(variants=meanwhile), first=800, last=870)
            await live(kept, RULES, first=870)
            found.append([c for c in choices(await kept.ledger.decisions()) if label_of(c[2]) == label])

    assert found[0] == found[1]


async def test_variants_change_nothing_that_is_traded(tmp_path: Path) -> None:
    found = []
    for name, rules in (("with", RULES), ("without", settings())):
        (tmp_path / name).mkdir()
        async with books(tmp_path / name) as kept:
            await live(kept, rules)
            found.append(await facts_of(kept))
    verdicts = [row for row in found[0].pop("verdicts") if LAYER not in row]

    assert verdicts == found[1].pop("verdicts")
    assert found[0] == found[1]


async def test_the_evidence_is_what_either_chose_and_has_closed(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await live(kept, RULES)
        rows = await kept.ledger.trade_rows()
        reports = await variant_reports(kept.ledger, RULES)
        both = await variant_reports(kept.ledger, RULES)
        other = await variant_reports(kept.ledger, settings(variants={"strict": {"adx_min": 31}}))
    strict, wide = reports
    expected = [
        r for r in rows if r.follow.follow.closed and (r.decision.is_signal or _number(r.decision, "strict") == 1)
    ]

    assert strict.outcomes == len(expected) > 0
    assert [report.order for report in reports] == [1, 2]
    assert (strict.next_look, strict.state) == (50, "blocked") if strict.outcomes < 50 else (100, strict.state)
    assert reports == both
    assert wide.label == variant_label("open", RULES)
    assert (other[0].outcomes, other[0].order) == (0, 3)
    closed = {c.closed for c in contests_of(rows, "strict", strict.label)}
    assert closed == {(r.follow.follow.exit_time or 0) + M15.ms for r in expected}


async def test_beside_a_strategy_that_an_approver_changed_the_evidence_is_that_under_the_change(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await live(kept, RULES, last=900)
        before = await variant_reports(kept.ledger, RULES)
        controls = with_changes(Controls(), RULES, {"strategy.adx_min": 12}, "Ann", 7)
        await kept.ledger.set_controls(controls)
        fresh = await variant_reports(kept.ledger, RULES)
        await live(kept, RULES, first=900)
        after = await variant_reports(kept.ledger, RULES)

    assert [r.outcomes for r in fresh] == [0, 0]
    assert all(r.outcomes > 0 for r in (*before, *after))
    assert all(b.label != a.label for b, a in zip(before, after, strict=True))


async def test_what_came_late_or_ended_by_hand_is_no_evidence(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await live(kept, RULES)
        rows = await kept.ledger.trade_rows()
    label = variant_label("open", RULES)
    before = contests_of(rows, "open", label)
    late = [replace(r, decision=replace(r.decision, decided_at=r.decision.open_time + 3 * M15.ms)) for r in rows]
    open_ones = [r for r in rows if not r.follow.follow.closed]

    assert before
    assert contests_of(late, "open", label) == []
    assert contests_of(open_ones, "open", label) == []


async def test_without_variants_the_ledger_is_not_even_read() -> None:
    assert await variant_reports(None, settings()) == ()  # type: ignore[arg-type]


def test_variants_are_counted_in_the_order_of_their_first_verdict(run: list[DecisionRecord]) -> None:
    renamed = [
        replace(d, decision_id=d.decision_id + 1_000, verdicts=(_verdict("late"), _verdict("strict", "adx_min 30 [0]")))
        for d in run
    ]

    tried = ever_tried([*renamed, *run])

    assert [name for name, _ in tried] == ["strict", "open", "late", "strict"]


def _verdict(name: str, label: str = "adx_min 1 [1]") -> Verdict:
    return Verdict(LAYER, name, Ruling.RECORD, 1.0, f"{label}: a signal")
