"""The "no" that helps: asked only where the gate will not open, once in thirty days, and honest about chance."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from core.config import Gate, Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.messages import ApprovalAsked, Notice
from core.errors import DataError, ModelError
from core.ml.audit import Audit
from core.ml.forecast import Forecast, Seen, Skill, forecast
from core.ml.manifest import Manifest
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.proposals import Audited, Proposals, audit_job, auditor, tried_words
from core.services.rules import RuleKeeper
from core.services.views import Actor, Progress
from tests.core.ml.test_audit import part, run, shifted
from tests.core.ml.test_suggestion import costly
from tests.ledgers import Books, Stage, books, market, settings
from tests.markets import M15, START

ANN = Actor(1001, "Ann", "approver")
DAY_0 = datetime(2024, 1, 1, tzinfo=UTC)
SHUT = Skill(n=400, base_rate=0.38, auc=0.49, auc_low=0.44, auc_high=0.53)
GOOD = replace(SHUT, auc=0.66, auc_low=0.60, auc_high=0.72)


def outlook(skill: Skill | None = SHUT) -> Forecast:
    return forecast(Seen(outcomes=60, trades=40, scored=60, days=60.0, pairs=3, looks=1), DAY_0, Gate(), skill=skill)


class Shelf:
    """Models on a shelf, of which one has a damaged paper."""

    def __init__(self, *papers: Manifest) -> None:
        self._papers = {p.model_id: p for p in papers}

    def ids(self) -> Sequence[str]:
        return (*self._papers, "damaged")

    def manifest(self, model_id: str) -> Manifest:
        if model_id == "damaged":
            raise ModelError("the manifest cannot be read")
        return self._papers[model_id]


@dataclass
class At:
    proposals: Proposals
    approvals: Approvals
    stage: Stage
    kept: Books
    seen: list[Settings]  # what the filters were audited under

    async def notices(self) -> list[Notice]:
        return [i.event for i in await self.kept.chat.pending(20) if isinstance(i.event, Notice)]

    async def cards(self) -> int:
        return sum(isinstance(i.event, ApprovalAsked) for i in await self.kept.chat.pending(20))


@asynccontextmanager
async def bot(path: Path, found: Audit, ahead: Forecast, *papers: Manifest) -> AsyncIterator[At]:
    config = settings()
    seen: list[Settings] = []

    async def known() -> Forecast:
        return ahead

    async def audited(under: Settings, now_ms: int, progress: Progress) -> Audited:
        seen.append(under)
        return Audited(found, ("No 5m candles are stored.",))

    async with books(path) as kept:
        stage, bell = await Stage.begin(kept, 0, config), Bell()
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        rules = RuleKeeper(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, approvals)
        yield At(
            Proposals(stage.clock, kept.ledger, kept.chat, stage.loop, bell, rules, Shelf(*papers), known, audited),
            approvals,
            stage,
            kept,
            seen,
        )


COSTLY = run(costly())
NOISE = run(part(5), part(6))


@pytest.mark.parametrize(("skill", "opens"), [(GOOD, True), (None, None)])
async def test_where_the_gate_may_open_or_cannot_be_told_nothing_is_audited_and_nothing_asked(
    tmp_path: Path, skill: Skill | None, opens: bool | None
) -> None:
    async with bot(tmp_path, COSTLY, outlook(skill)) as at:
        answer = await at.proposals.consider("Ann")
        assert (answer.opens, answer.approval_id) == (opens, None)
        assert at.seen == []
        assert await at.kept.chat.pending(9) == []


async def test_a_closed_gate_asks_for_the_proven_change_and_a_yes_makes_it(tmp_path: Path) -> None:
    async with bot(tmp_path, COSTLY, outlook()) as at:
        answer = await at.proposals.consider("Ann")
        assert answer.approval_id is not None
        card = await at.approvals.view(answer.approval_id)
        assert card is not None
        assert card.title == 'The gate will not open. Instead: leave out "volume from 0.75"?'
        assert card.lines == answer.lines
        said = "\n".join(card.lines)
        assert "The gate will not open within a year: the model's AUC 0.49 is at most 0.53" in said
        assert "Tried: no model yet, 60 live outcomes, 1 look taken by the gate." in said
        assert 'Beyond chance, after Holm\'s correction: "volume from 0.75" costs.' in said
        assert "may well be chance" not in said
        assert "A yes sets strategy.volume_ratio_min = 0 from the next candle on" in said
        assert said.endswith("No 5m candles are stored.")

        await at.approvals.answer(answer.approval_id, True, ANN)
        assert at.proposals.rules.in_force.strategy.volume_ratio_min == 0


async def test_of_noise_the_card_says_that_it_may_be_chance(tmp_path: Path) -> None:
    async with bot(tmp_path, NOISE, outlook()) as at:
        answer = await at.proposals.consider("Ann")
        said = "\n".join(answer.lines)
        assert "No filter's worth can be told from chance." in said
        assert "This may well be chance" in said
        assert answer.approval_id is not None


async def test_a_change_that_is_proven_a_signal_and_loses_more_in_all_is_told_and_not_asked(tmp_path: Path) -> None:
    async with bot(tmp_path, run(shifted(1, "volume", -0.8)), outlook()) as at:
        said = "\n".join((await at.proposals.consider("Ann")).lines)
        assert 'Not asked for, since it makes less in all. Leave out "volume from 0.75": +0.' in said
        assert "strategy.volume_ratio_min" not in said


async def test_where_no_change_would_have_looked_better_it_is_a_notice_and_nothing_is_asked(tmp_path: Path) -> None:
    worse = replace(COSTLY, filters=tuple(f for f in COSTLY.filters if f.name == "UNKNOWN"))
    async with bot(tmp_path, worse, outlook()) as at:
        answer = await at.proposals.consider("Julaba")
        assert answer.approval_id is None
        assert await at.cards() == 0
        assert [n.title for n in await at.notices()] == ["The gate will not open, and no rule's change looks better"]
        assert "nothing is asked for" in (await at.notices())[0].detail


async def test_by_itself_it_asks_once_in_thirty_days_however_often_a_model_is_trained(tmp_path: Path) -> None:
    async with bot(tmp_path, COSTLY, outlook()) as at:
        for day in (0, 5, 29):  # the card of day 0 has expired on day 5
            at.stage.clock.advance(to_datetime(START) + timedelta(days=day))
            await at.approvals.expire()
            await at.proposals.upkeep()
        assert (await at.cards(), len(at.seen)) == (1, 1)
    async with bot(tmp_path, COSTLY, outlook()) as again:
        again.stage.clock.advance(to_datetime(START) + timedelta(days=29))
        await again.proposals.upkeep()
        assert again.seen == []
        again.stage.clock.advance(to_datetime(START) + timedelta(days=31))
        await again.proposals.upkeep()
        newest = await again.approvals.view(2)
        assert newest is not None
        assert "It is the second time that they are audited for this line." in "\n".join(newest.lines)


async def test_a_card_that_waits_is_not_asked_again(tmp_path: Path) -> None:
    async with bot(tmp_path, COSTLY, outlook()) as at:
        first = await at.proposals.consider("Ann")
        second = await at.proposals.consider("Ole")
        assert second.approval_id == first.approval_id
        assert (await at.cards(), len(at.seen)) == (1, 1)


async def test_the_audit_looks_at_the_rules_in_force(tmp_path: Path) -> None:
    async with bot(tmp_path, COSTLY, outlook()) as at:
        number = (await at.proposals.consider("Ann")).approval_id
        assert number is not None
        await at.approvals.answer(number, True, ANN)
        await at.proposals.consider("Ann")
        assert [s.strategy.volume_ratio_min for s in at.seen] == [settings().strategy.volume_ratio_min, 0.0]


def paper(model_id: str, created: str, **figures: float | None) -> Manifest:
    return Manifest(
        model_id, "xgb", ("a", "b"), "gross", 10, 812, {}, 0.38, "d", "s", 7, {"walk_forward": figures}, "0", created,
        0, None, "main",
    )  # fmt: skip


def test_what_was_tried_counts_every_model_and_shows_the_newest_with_its_interval() -> None:
    old = paper("old", "2024-01-01T00:00:00Z", auc=0.61)
    new = replace(paper("new", "2024-02-01T00:00:00Z", auc=0.492, auc_low=0.44, auc_high=0.53, n=1400), kind="logistic")
    assert tried_words(Shelf(new, old), outlook()) == (
        "Tried: 2 models (logistic on 2 features, xgb on 2 features), the newest from 812 rows, walk-forward AUC 0.49 "
        "(0.44 to 0.53) on 1,400 unseen signals, guessing has 0.50; 1 look taken by the gate."
    )


async def test_planted_noise_gives_a_card_from_a_process_of_its_own(tmp_path: Path) -> None:
    """From stored candles to the card: random walks, in which no rule can be worth anything."""
    store = candle_store(tmp_path)
    for window in market(1_600).values():
        store.save(window)
    saved: list[str] = []

    async def save() -> None:
        saved.append("saved")

    async with bot(tmp_path, NOISE, outlook()) as at:
        at.proposals._audit = auditor(store, save)
        at.stage.clock.advance(to_datetime(START + 1_600 * M15.ms))
        answer = await at.proposals.consider("Julaba")
        body = json.loads((await at.kept.chat.looks("main/proposal"))[0])

    assert saved == ["saved"]
    assert answer.opens is False
    assert "No filter's worth can be told from chance." in "\n".join(answer.lines)
    assert (body["at"], body["approval"]) == (to_ms(at.stage.clock.now()), answer.approval_id)
    assert (body["asked"] is None) == (answer.approval_id is None)


def test_without_candles_the_audit_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no candles are stored yet"):
        audit_job(lambda text, done: None, candle_store(tmp_path), settings(), START)


async def test_the_upkeep_asks_after_a_training_and_not_at_every_round(tmp_path: Path) -> None:
    async with bot(tmp_path, COSTLY, outlook()) as at:
        shelf = Shelf()
        at.proposals._models = shelf
        await at.proposals.review()
        assert len(at.seen) == 1
        number = (await at.kept.chat.open_approvals())[0].approval_id
        await at.approvals.answer(number, False, ANN)
        at.stage.clock.advance(to_datetime(START) + timedelta(days=40))
        await at.proposals.review()
        assert len(at.seen) == 1  # nothing was trained since
        at.proposals._known = None  # as after a restart, which is no training
        await at.proposals.review()
        assert len(at.seen) == 1
        at.proposals._models = Shelf(paper("new", "2024-02-01T00:00:00Z"))
        await at.proposals.review()
        assert len(at.seen) == 2
