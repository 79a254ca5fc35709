"""When Gemini is asked, what that costs, and what the owner hears of its troubles: with a Gemini that says as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.adapters.sqlite_opinions import SqliteOpinions
from core.config import Gemini
from core.domain.candles import Candles, to_datetime
from core.domain.messages import Notice
from core.domain.trading import Candidate, Direction, GeminiOpinion
from core.ports import Answer
from core.services import advice as advice_module
from core.services.advice import AGAIN_AFTER, Advice
from core.services.bus import Bell
from core.services.faults import Faults
from tests.core.adapters.test_gemini_advisor import candidate
from tests.ledgers import Books, books

YES = Answer(GeminiOpinion(True, 0.8, "because", (), "test", 100, 20), tokens=120)
SILENCE = Answer(reason="no answer within 5 s", trouble="passing")
NONSENSE = Answer(reason="the answer was not what was asked for", trouble="unusable", tokens=50)
BLOCKED = Answer(reason="the answer was withheld (SAFETY)", trouble="withheld", tokens=30)
GONE = Answer(reason="the model m does not exist", trouble="setting", remedy="set gemini.model")
SIGNAL, RECENT = candidate()


class Says:
    """One answer after the other, the last one for ever; ``takes`` seconds of the wall's time each."""

    def __init__(self, *answers: Answer, takes: float = 0.0) -> None:
        self.answers: Iterator[Answer] = chain(answers[:-1], repeat(answers[-1]))
        self.takes = takes
        self.asked = 0
        self.patience: list[float] = []

    async def ask(self, candidate: Candidate, recent: Candles, patience: float) -> Answer:
        self.asked += 1
        self.patience.append(patience)
        await asyncio.sleep(min(self.takes, patience))
        return next(self.answers)


@dataclass
class Desk:
    kept: Books
    clock: ReplayClock
    source: Says
    advice: Advice

    async def hear(self, minutes: int = 0) -> GeminiOpinion | str:
        """The opinion on the signal that many minutes later."""
        later = replace(SIGNAL, snapshot=replace(SIGNAL.snapshot, open_time=SIGNAL.open_time + minutes * 60_000))
        if to_datetime(later.close_time) > self.clock.now():
            self.clock.advance(to_datetime(later.close_time))
        return await self.advice.opinion(later, RECENT)

    async def told(self) -> list[tuple[str, str]]:
        events = [item.event for item in await self.kept.chat.pending(100)]
        return [(e.topic, e.title) for e in events if isinstance(e, Notice)]


@asynccontextmanager
async def desk(path: Path, source: Says, at: datetime | None = None, **changes: Any) -> AsyncIterator[Desk]:
    settings = Gemini.model_validate({"model": "m"} | changes)
    async with books(path) as kept:
        clock, bell = ReplayClock(at or to_datetime(SIGNAL.close_time)), Bell()
        faults = Faults(clock, kept.ledger, bell)
        book = SqliteOpinions(kept.db)
        yield Desk(kept, clock, source, Advice(settings, clock, kept.ledger, book, source, bell, lambda: faults))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and a tenth of a second for asking."""
    monkeypatch.setattr(advice_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(advice_module, "RETRY_FOR", timedelta(seconds=0.1))


# -- once -------------------------------------------------------------------------------------------------------------


async def test_a_kill_between_the_answer_and_the_decision_neither_asks_nor_pays_again(tmp_path: Path) -> None:
    source = Says(YES, replace(YES, opinion=GeminiOpinion(False, 0.1, "", (), "test")))
    async with desk(tmp_path, source) as before:
        first = await before.hear()
    async with desk(tmp_path, source) as after:
        again, standing = await after.hear(), await after.advice.standing()

    assert first == again == YES.opinion
    assert source.asked == 1
    assert standing == "on (m), 120 of 400k tokens today"


@pytest.mark.parametrize("changes", [{"model": "gemini-4"}, {"grounding": True}])
async def test_a_changed_setting_asks_anew(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = Says(YES)
    async with desk(tmp_path, source) as before:
        await before.hear()
    async with desk(tmp_path, source, **changes) as after:
        await after.hear()

    assert source.asked == 2


async def test_the_other_direction_is_another_question(tmp_path: Path) -> None:
    source = Says(YES)
    other = Direction.SHORT if SIGNAL.direction is Direction.LONG else Direction.LONG
    async with desk(tmp_path, source) as one:
        await one.hear()
        await one.advice.opinion(replace(SIGNAL, direction=other), RECENT)

    assert source.asked == 2


async def test_no_opinion_is_not_kept(tmp_path: Path) -> None:
    source = Says(BLOCKED, YES)
    async with desk(tmp_path, source) as before:
        assert await before.hear() == BLOCKED.reason
    async with desk(tmp_path, source) as after:
        assert await after.hear() == YES.opinion


# -- how often --------------------------------------------------------------------------------------------------------


async def test_a_passing_trouble_is_asked_again_and_the_time_for_it_ends(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(SILENCE, SILENCE, YES)) as one:
        assert await one.hear() == YES.opinion
    async with desk(tmp_path / "2", Says(SILENCE, takes=0.03), timeout=0.05) as two:
        async with asyncio.timeout(5):
            assert await two.hear() == SILENCE.reason
        assert 1 < two.source.asked < 5
        assert max(two.source.patience) <= 0.05


async def test_the_last_question_ends_with_the_time_for_asking(tmp_path: Path) -> None:
    """A timeout of 20 s begun in the last second must not hold the decision for 20 s more."""
    async with desk(tmp_path, Says(SILENCE, takes=0.02), timeout=20) as one:
        await one.hear()

    first, *later = one.source.patience
    assert 0.09 < first <= 0.1
    assert later
    assert all(0.04 < patience < 0.09 for patience in later)


async def test_after_its_time_a_signal_is_asked_about_once(tmp_path: Path) -> None:
    late = to_datetime(SIGNAL.close_time) + timedelta(minutes=5)
    async with desk(tmp_path, Says(SILENCE), at=late) as one:
        await one.hear()

    assert one.source.asked == 1


async def test_an_answer_nobody_can_read_is_paid_for_twice_at_most(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(NONSENSE)) as one:
        assert await one.hear() == NONSENSE.reason
        assert await one.advice.standing() == "on (m), 100 of 400k tokens today"

    assert one.source.asked == 2


async def test_a_withheld_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(BLOCKED)) as one:
        await one.hear()

    assert one.source.asked == 1


async def test_the_wait_that_the_service_asks_for_is_kept(tmp_path: Path) -> None:
    monotonic = asyncio.get_running_loop().time
    begun = monotonic()
    async with desk(tmp_path, Says(replace(SILENCE, wait=0.03), YES)) as one:
        assert await one.hear() == YES.opinion

    assert monotonic() - begun >= 0.03


async def test_a_wait_beyond_the_time_for_asking_is_not_waited_for(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(replace(SILENCE, wait=3600), YES)) as one:
        async with asyncio.timeout(5):
            assert await one.hear() == SILENCE.reason

    assert one.source.asked == 1


# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_the_days_tokens_survive_restarts_and_end_with_the_day(tmp_path: Path) -> None:
    source = Says(YES)
    async with desk(tmp_path, source, daily_tokens=240) as first:
        await first.hear()
    async with desk(tmp_path, source, daily_tokens=240) as second:
        await second.hear(15)
    async with desk(tmp_path, source, daily_tokens=240) as third:
        assert await third.hear(30) == "today's budget of 240 tokens is spent"
        assert await third.advice.standing() == "silent until 00:00 UTC: today's budget of 240 tokens is spent"
        assert source.asked == 2
        assert await third.hear(24 * 60) == YES.opinion
        assert await third.advice.standing() == "on (m), 120 of 240 tokens today"


async def test_answers_of_no_use_cost_what_they_cost(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(BLOCKED, NONSENSE, NONSENSE, YES)) as one:
        for minutes in (0, 15, 30):
            await one.hear(minutes)

        assert await one.advice.standing() == "on (m), 250 of 400k tokens today"


async def test_a_budget_that_runs_out_between_two_attempts_ends_them(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(replace(SILENCE, tokens=60)), daily_tokens=100) as one:
        await one.hear()

    assert one.source.asked == 2


async def test_80_percent_and_the_end_of_the_tokens_are_said_once_a_day(tmp_path: Path) -> None:
    for part in range(3):  # restarts between them
        async with desk(tmp_path, Says(YES), daily_tokens=1000) as one:
            for signal in range(4):
                await one.hear(60 * part + 15 * signal)
            told = await one.told()

    assert told == [
        ("gemini", "Gemini has used 84% of today's tokens"),
        ("gemini", "Today's Gemini tokens are spent: signals are refused until 00:00 UTC"),
    ]


async def test_many_at_once_lose_no_token(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(YES, takes=0.01)) as one:
        await asyncio.gather(*(one.hear(15 * n) for n in range(20)))
        mark = await one.kept.ledger.mark("gemini_tokens")

    assert mark is not None
    assert mark.endswith(" 2400")


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setting", "effect"), [("refuse", "signals are refused"), ("rules", "the rules decide")])
async def test_one_alert_when_gemini_stays_silent_and_one_when_it_speaks(
    tmp_path: Path, setting: str, effect: str
) -> None:
    async with desk(tmp_path, Says(*[BLOCKED] * 5, YES), on_no_opinion=setting) as one:
        await one.hear(0)
        assert await one.told() == []
        for n in range(1, 8):
            await one.hear(15 * n)

        assert await one.told() == [
            ("fault", f"Gemini gives no opinion: {effect}"),
            ("recovered", "Gemini answers again"),
        ]


async def test_an_opinion_between_two_failures_makes_them_accidents(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(BLOCKED, YES, BLOCKED, YES)) as one:
        for n in range(4):
            await one.hear(15 * n)

        assert await one.told() == []


async def test_a_refused_setting_is_told_once_and_not_asked_about_at_every_close(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(GONE)) as one:
        for n in range(4):  # 45 minutes
            assert await one.hear(15 * n) == GONE.reason
        assert one.source.asked == 1
        assert await one.told() == [("fault", "Gemini is off: the model m does not exist")]
        assert await one.advice.standing() == "off: the model m does not exist"


async def test_a_refused_setting_is_tried_again_after_an_hour(tmp_path: Path) -> None:
    hour = int(AGAIN_AFTER / timedelta(minutes=1))
    async with desk(tmp_path, Says(GONE, GONE, YES)) as one:
        await one.hear(0)
        await one.hear(hour)
        assert await one.hear(2 * hour) == YES.opinion
        assert await one.told() == [
            ("fault", "Gemini is off: the model m does not exist"),
            ("recovered", "Gemini answers again"),
        ]
        assert await one.advice.standing() == "on (m), 120 of 400k tokens today"


async def test_the_alert_of_a_refused_setting_says_what_to_do(tmp_path: Path) -> None:
    async with desk(tmp_path, Says(GONE)) as one:
        await one.hear()
        alert = (await one.kept.chat.pending(9))[0].event

    assert isinstance(alert, Notice)
    assert alert.detail.splitlines() == [
        "Set gemini.model, then restart.",
        "Until then signals are refused (gemini.on_no_opinion). It is tried again once an hour.",
    ]


async def test_a_store_that_fails_costs_no_opinion(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with desk(tmp_path, Says(YES)) as one:
        await one.kept.db.write("DROP TABLE opinions")
        await one.kept.db.write("DROP TABLE marks")

        assert await one.hear() == YES.opinion
