"""The gatekeeper: evidence before influence, a person before a weight, and the weight gone when its ground is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.sqlite_models import SqliteModels
from core.config import Settings
from core.domain.candles import DAY_MS, Pair, to_datetime, to_ms
from core.domain.ledger import Controls, DecisionRecord, Effect, FollowRecord
from core.domain.messages import ApprovalAsked, ApprovalEnded, Notice
from core.domain.trading import Direction, ExitReason, Follow, FollowKind, Levels, Regime, Snapshot
from core.errors import UsageError
from core.ports import ChampionRecord
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.champion import ChampionInfo
from core.services.gatekeeper import Gatekeeper
from core.services.views import Actor, ApprovalView
from tests.ledgers import Books, Stage, books, settings
from tests.markets import M15, START
from tests.thrones import Throne

ANN = Actor(1001, "Ann", "approver")
OLE = Actor(1002, "Ole", "operator")
LINK = Pair.parse("LINK/USDT")
DAY = 96
NUMBERS = (100.0, 99.0, 55.0, 30.0, 25.0, 15.0, 1.0, 1.0, 10.0, 1.2, 1.0, 0.55)  # sma_15 to hurst


@dataclass
class School:
    """The model in use."""

    champion: ChampionInfo = field(default_factory=lambda: ChampionInfo("m1", {}, 400, sha256="aa"))

    def now_uses(self, model_id: str | None, **known: Any) -> None:
        self.champion = ChampionInfo(model_id, {}, 400, **known)


@dataclass
class Desk:
    keeper: Gatekeeper
    stage: Stage
    kept: Books
    school: School

    async def answer(self, number: int, yes: bool, actor: Actor) -> ApprovalView:
        return await self.keeper.approvals.answer(number, yes, actor)


@asynccontextmanager
async def desk(path: Path, config: Settings | None = None) -> AsyncIterator[Desk]:
    config = config or settings()
    school = School()
    async with books(path) as kept:
        stage = await Stage.begin(kept, 0, config)
        bell = Bell()
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        keeper = Gatekeeper(
            config,
            stage.clock,
            kept.ledger,
            kept.chat,
            stage.loop,
            bell,
            lambda: school.champion,
            approvals,
            SqliteModels(kept.db),
        )
        yield Desk(keeper, stage, kept, school)


def outcome_effect(number: int, probability: float, won: bool, trade: bool) -> Effect:
    """One live outcome on a day of its own: decided, predicted, and closed 10 candles later."""
    opened = START + number * DAY * M15.ms
    levels = Levels(Direction.LONG, 100.0, 98.0, (103.0, 105.0, 108.0))
    snapshot = Snapshot(opened, 100.0, *NUMBERS, Regime.TRENDING, 0, 0)
    follow = Follow(
        levels=levels,
        entry_time=opened,
        bars=10,
        remaining=0.0,
        realized_r=1.0 if won else -1.0,
        exit_reason=ExitReason.TP3_FULL if won else ExitReason.STOP_LOSS,
        exit_price=100.0,
        exit_time=opened + 10 * M15.ms,
    )
    decision = DecisionRecord(
        decision_id=number + 1,
        pair=LINK,
        timeframe="15m",
        open_time=opened,
        direction=Direction.LONG,
        is_signal=True,
        status="taken" if trade else "refused",
        reason="",
        snapshot=snapshot,
        verdicts=(),
        decided_at=opened,
        ml_probability=probability,
        ml_average=0.4,
        model_id="m1",
        gemini_approve=True,
        gemini_confidence=0.8,
    )
    record = FollowRecord(
        follow_id=number + 1,
        decision_id=number + 1,
        kind=FollowKind.TRADE if trade else FollowKind.SHADOW_SIGNAL,
        pair=LINK,
        follow=follow,
        last_time=opened + 10 * M15.ms,
    )
    return Effect(step="entries", cursors={LINK: opened}, decisions=(decision,), follows=(record,))


async def live(at: Desk | Throne, count: int, *, skilled: bool, seed: int = 5) -> None:
    """``count`` outcomes of a model that knows something, or of one that does not."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        won = bool(rng.random() < 0.4)
        lean = (0.2 if won else -0.2) if skilled else 0.0
        probability = float(np.clip(0.42 + lean + rng.normal(0, 0.08), 0.02, 0.98))
        assert await at.kept.ledger.commit(outcome_effect(number, probability, won, trade=number % 2 == 0))
    at.stage.clock.advance(to_datetime(START + (count + 1) * DAY * M15.ms))
    at.stage.loop.memory.outcomes = count
    at.stage.loop.memory.recent = [0.3, 0.4, 0.5, 0.6]


async def test_without_outcomes_the_answer_says_in_numbers_what_is_missing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        answer = await at.keeper.ask(0.25, ANN)

    assert answer.approval_id is None
    assert answer.missing == (
        "0 of 50 live outcomes",
        "0 of them are trades, 20 are needed",
        "the first look is at 50 outcomes",
    )


async def test_looks_are_taken_once_at_their_counts_whenever_one_asks(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await live(at, 120, skilled=False)
        for _ in range(3):
            await at.keeper.review()
        looks = await at.keeper.looks()

    assert [look.n for look in looks] == [50, 100]
    assert sum(look.alpha for look in looks) <= at.keeper._settings.gate.error


async def test_a_model_that_knows_nothing_is_not_allowed_to_ask(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await live(at, 310, skilled=False)
        await at.keeper.review()
        answer = await at.keeper.ask(0.25, ANN)
        looks = await at.keeper.looks()

    assert answer.approval_id is None
    assert answer.missing
    assert "the next look is at 400 outcomes, 310 are there" in answer.missing
    assert looks[-1].state != "ready"


async def ready(at: Desk) -> int:
    await live(at, 310, skilled=True)
    await at.keeper.review()
    answer = await at.keeper.ask(0.25, OLE)
    assert answer.approval_id is not None, answer.missing
    return answer.approval_id


async def test_a_model_that_knows_something_asks_with_its_evidence_frozen(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        view = await at.keeper.approvals.view(number)
        waiting = [item.event for item in await at.kept.chat.pending(10)]

    assert view is not None
    assert view.state == "pending"
    assert view.weight == 0.25
    assert view.model_id == "m1"
    assert any("AUC" in line for line in view.lines)
    assert any("of the last" in line for line in view.lines)
    assert [e.approval_id for e in waiting if isinstance(e, ApprovalAsked)] == [number]


async def test_asking_twice_gives_the_card_that_waits(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        again = await at.keeper.ask(0.25, OLE)

    assert again.approval_id == number


async def test_an_approver_grants_and_the_weight_follows_the_ramp(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        before = at.keeper.weight()
        view = await at.answer(number, True, ANN)
        at.stage.loop.memory.outcomes = 38
        ramped = at.keeper.weight()
        stored = await at.kept.ledger.controls()
        ended = [i.event for i in await at.kept.chat.pending(10) if isinstance(i.event, ApprovalEnded)]

    assert before == 0
    assert (view.state, view.answered_by) == ("approved", "Ann")
    assert stored.approved_weight == 0.25
    assert ramped == pytest.approx(0.1)
    assert len(ended) == 1


async def test_only_an_approver_answers_and_only_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        with pytest.raises(UsageError, match="only an approver"):
            await at.answer(number, True, OLE)
        await at.answer(number, False, ANN)
        with pytest.raises(UsageError, match="Ann rejected this on"):
            await at.answer(number, True, ANN)

        assert (await at.kept.ledger.controls()).approved_weight == 0


async def test_of_two_answers_at_once_one_counts_and_the_other_is_told_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        answers = await asyncio.gather(
            at.answer(number, True, ANN), at.answer(number, False, ANN), return_exceptions=True
        )

    assert sum(isinstance(a, UsageError) for a in answers) == 1


async def test_an_answer_after_the_expiry_grants_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.stage.clock.advance(at.stage.clock.now() + timedelta(hours=73))
        with pytest.raises(UsageError, match="expired"):
            await at.answer(number, True, ANN)

        assert (await at.kept.ledger.controls()).approved_weight == 0


async def test_an_unanswered_card_expires_by_itself(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.stage.clock.advance(at.stage.clock.now() + timedelta(hours=73))
        await at.keeper.review()
        view = await at.keeper.approvals.view(number)

    assert view is not None
    assert view.state == "expired"


async def test_a_new_champion_takes_the_weight_away_and_withdraws_the_card(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.stage.loop.memory.controls = Controls(approved_weight=0.25, approved_model="m1")
        at.school.now_uses("m2")
        await at.keeper.review()
        await at.keeper.review()
        await at.keeper.approvals.withdraw("m2 has become the champion", "weight")
        with pytest.raises(UsageError, match="withdrawn"):
            await at.answer(number, True, ANN)
        told = [i.event for i in await at.kept.chat.pending(20) if isinstance(i.event, Notice)]

    assert at.keeper.weight() == 0
    assert [n.title for n in told] == ["The model's weight 0.25 is taken away"]


async def test_a_champion_that_has_grown_too_old_loses_its_weight_once_and_cannot_be_given_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.stage.loop.memory.controls = Controls(approved_weight=0.25, approved_model="m1")
        trained = to_ms(at.stage.clock.now()) - 90 * DAY_MS
        at.school.now_uses("m1", trained_at=trained, sha256="aa")
        await at.keeper.review()
        kept = at.keeper.weight()
        at.stage.clock.advance(at.stage.clock.now() + timedelta(hours=12))
        await at.keeper.review()
        await at.keeper.review()
        with pytest.raises(UsageError, match=r"withdrawn on .*: m1 was trained more than 90 days"):
            await at.answer(number, True, ANN)
        again = await at.keeper.ask(0.25, OLE)
        standing = await at.keeper.standing()
        told = [i.event for i in await at.kept.chat.pending(20) if isinstance(i.event, Notice)]

    assert kept > 0
    assert at.keeper.weight() == 0
    assert len(told) == 1
    assert "trained more than 90 days ago" in told[0].detail
    assert "/retrain" in again.missing[0]
    assert standing == ("Trained 90 days ago: too old for a weight (90 at most)",)


async def test_a_weight_names_the_file_it_was_asked_for_not_only_its_name(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.school.now_uses("m1", sha256="bb")
        with pytest.raises(UsageError, match="the file of m1 is another one"):
            await at.answer(number, True, ANN)

        assert (await at.kept.ledger.controls()).approved_weight == 0


async def test_live_accuracy_under_the_red_flag_takes_the_weight_away(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.stage.loop.memory.controls = Controls(approved_weight=0.5, approved_model="m1")
        for number in range(50):
            await at.kept.ledger.commit(outcome_effect(number, 0.9, won=number % 4 == 0, trade=True))
        at.stage.clock.advance(to_datetime(START + 60 * DAY * M15.ms))
        await at.keeper.review()
        await at.keeper.review()
        answer = await at.keeper.ask(0.25, OLE)
        alerts = [i.event for i in await at.kept.chat.pending(20) if isinstance(i.event, Notice)]

    assert at.stage.loop.memory.controls.approved_weight == 0
    assert len(alerts) == 1
    assert alerts[0].detail.startswith("Live accuracy 26.0% on 50 outcomes is under 50%")
    assert answer.approval_id is None


async def test_weight_zero_needs_nobody_and_an_odd_weight_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.stage.loop.memory.controls = Controls(approved_weight=0.5, approved_model="m1")
        answer = await at.keeper.ask(0.0, OLE)
        with pytest.raises(UsageError, match=r"0 or one of 0\.25, 0\.5, 0\.75"):
            await at.keeper.ask(0.3, OLE)

    assert answer.approval_id is None
    assert at.stage.loop.memory.controls.approved_weight == 0


async def test_weights_go_up_one_step_at_a_time(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        with pytest.raises(UsageError, match=r"one step at a time: the next weight after 0 is 0\.25"):
            await at.keeper.ask(0.5, OLE)


async def test_a_yes_to_a_model_that_is_no_longer_the_champion_grants_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        number = await ready(at)
        at.school.now_uses("m2")
        with pytest.raises(UsageError, match="m1 is no longer the champion"):
            await at.answer(number, True, ANN)

        assert (await at.kept.ledger.controls()).approved_weight == 0


async def test_a_prediction_that_came_after_its_outcome_is_no_evidence(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        effect = outcome_effect(0, 0.5, won=True, trade=True)
        late = replace(effect.decisions[0], decided_at=effect.decisions[0].open_time + 12 * M15.ms)
        await at.kept.ledger.commit(replace(effect, decisions=(late,)))
        assert await at.keeper.evidence() == []
        assert await at.kept.ledger.outcome_count() == 1


async def test_a_prediction_of_a_model_that_was_not_the_champion_then_is_no_evidence(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number in range(3):
            await at.kept.ledger.commit(outcome_effect(number, 0.5, won=True, trade=True))  # all of them by m1
        book = SqliteModels(at.kept.db)
        await book.crowned(ChampionRecord("main", "m1", START, "ann", ""))
        await book.crowned(ChampionRecord("main", "m2", START + DAY * M15.ms, "ann", ""))
        assert [to_ms(p.decided_at) for p in await at.keeper.evidence()] == [START, START + DAY * M15.ms]


async def test_the_shadow_of_a_missed_signal_is_no_live_outcome(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        effect = outcome_effect(0, 0.5, won=True, trade=False)
        missed = replace(effect.decisions[0], status="missed")
        await at.kept.ledger.commit(replace(effect, decisions=(missed,)))
        assert await at.kept.ledger.outcome_count() == 0
        assert await at.keeper.evidence() == []
