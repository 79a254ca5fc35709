"""Parity, nightly: once per day, told only where something differs, caught up after the bot was down."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair
from core.domain.messages import Notice
from core.services.bus import Bell
from core.services.day_book import WITNESS, DayBook, Witness, rules_in
from core.services.day_check import UNKNOWN, DayCheck, DayDifference, check_day
from core.services.nightly import MARK, Nightly, holes_of, in_a_process, notice_of
from tests.core.services.test_day_check import DAYS, FIRST, Adviser, Days, days, open_handed, without
from tests.lived import signal
from tests.markets import M15, START


class Night:
    """The nightly check on a lived loop; counts the days it compared."""

    def __init__(self, lived: Days, found: DayCheck | None = None) -> None:
        self.days: list[int] = []
        self.saved = 0
        self._lived, self._found = lived, found
        loop = lived.stage.loop
        self.nightly = Nightly(
            lived.stage.clock,
            lived.kept.ledger,
            loop,
            Bell(),
            lambda: loop.in_force.traded,
            self._save,
            self._compare,
        )

    async def _save(self) -> None:
        self.saved += 1

    async def _compare(self, settings: Settings, book: DayBook) -> DayCheck:
        self.days.append(book.day)
        return self._found or check_day(self._lived.store, settings, book)

    async def rounds(self, count: int = 12) -> list[Notice]:
        for _ in range(count):
            await self.nightly.review()
        return await self.notices()

    async def notices(self) -> list[Notice]:
        events = [item.event for item in await self._lived.kept.chat.pending(1000)]
        return [e for e in events if isinstance(e, Notice) and e.key.startswith("parity:")]

    async def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self._lived.kept.ledger.mark(MARK) or "{}")
        return found


async def test_a_day_like_the_backtest_is_kept_and_logged_and_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core.services.nightly")
    async with days(tmp_path) as lived:
        night = Night(lived)
        await lived.live(last=FIRST + 96)
        told = await night.rounds()
        kept = await night.kept()

    assert told == []
    assert night.days == [DAYS[0]]
    assert (kept["day"], kept["signals"], kept["differences"]) == ("2024-01-06", 4, [])
    assert kept["checked"] == "2024-01-07T00:00:00Z"
    assert "parity 2024-01-06: 4 signals and 3 outcomes as in the backtest" in caplog.text


async def test_what_differs_is_told_once_and_silently_with_its_cause(tmp_path: Path) -> None:
    async with days(tmp_path, advisor=Adviser()) as lived:
        await lived.live(last=FIRST + 96)
        night = Night(lived)
        (notice,) = await night.rounds()
        again = Night(lived)  # as after a restart
        await again.rounds()

        assert again.days == []
        assert await again.notices() == [notice]
    assert night.saved == 1
    assert (notice.topic, notice.key) == ("report", "parity:2024-01-06")
    assert notice.title == "Parity 06 Jan: 4 of 4 signals differ from the backtest"
    lines = notice.detail.splitlines()
    assert len(lines) == 4
    assert all("not taken, Gemini (Gemini refuses at 0.90)" in line for line in lines)


def test_a_difference_without_a_cause_is_a_fault_and_comes_first() -> None:
    one = DayDifference(
        Pair.parse("LINK"), START, signal(1)[0].direction, "signal", UNKNOWN, "only the backtest has it"
    )
    notice = notice_of(DayCheck(START, 5, 2, (one, replace(one, what="not taken", cause="limit"))), _now())

    assert notice.topic == "fault"
    assert notice.title == "Parity 01 Jan: 2 of 5 signals differ from the backtest, 1 without a cause"
    assert notice.detail.splitlines()[0] == "LINK LONG 00:00: signal, unknown (only the backtest has it)"
    assert "julaba check day" in notice.detail.splitlines()[-1]


def test_an_alert_has_at_most_ten_lines_of_differences() -> None:
    one = DayDifference(Pair.parse("LINK"), START, signal(1)[0].direction, "not taken", "limit", "")
    notice = notice_of(DayCheck(START, 40, 0, (one,) * 40), _now())

    assert len(notice.detail.splitlines()) == 10
    assert notice.detail.splitlines()[-1] == "… and 31 more"


def _now() -> Any:
    from core.domain.candles import to_datetime

    return to_datetime(START + DAY_MS)


async def test_days_missed_are_caught_up_the_oldest_first_and_no_day_before_the_ledger_s(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        night = Night(lived)
        await night.rounds()

    assert night.days == DAYS


async def test_at_most_a_week_is_caught_up(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        lived.stage.loop.last_close = DAYS[0] + 9 * DAY_MS
        lived.stage.clock.advance(lived.stage.clock.now() + timedelta(days=9))
        night = Night(lived)
        await night.rounds()

    assert night.days == [DAYS[2]]  # of the last seven days it is the only one that was lived


async def test_the_last_day_checked_is_remembered_and_the_next_goes_on_from_there(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live(last=FIRST + 96)
        await Night(lived).rounds()
        await lived.live(first=FIRST + 96)
        night = Night(lived)
        await night.rounds()

    assert night.days == DAYS[1:]


async def test_a_day_is_not_checked_before_every_pair_has_had_its_last_candle(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        night = Night(lived)
        late = next(iter(lived.candles))
        others = {pair: c for pair, c in lived.candles.items() if pair != late}
        await lived.live(last=FIRST + 95)
        await lived.live(first=FIRST + 95, last=FIRST + 96, candles=others)
        await night.rounds()
        waited = list(night.days)
        await lived.live(first=FIRST + 95, last=FIRST + 96)
        await night.rounds()

    assert waited == []
    assert night.days == [DAYS[0]]


async def test_a_pair_that_stays_away_is_waited_for_no_longer_than_a_candle(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        night = Night(lived)
        others = {pair: c for n, (pair, c) in enumerate(lived.candles.items()) if n}
        await lived.live(last=FIRST + 97, candles=others)
        await night.rounds()

    assert night.days == [DAYS[0]]


# -- what only the running loop sees --


async def test_a_pair_that_comes_later_is_checked_from_its_first_candle_on(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live(last=FIRST + 96)
        quiet = Night(lived)
        expected = (await quiet.rounds(), await quiet.kept())
    async with days(tmp_path / "later") as lived:
        late = Pair.parse("LINK/USDT")
        few = {pair: c for pair, c in lived.candles.items() if pair != late}
        night = Night(lived)
        await lived.live(last=FIRST + 1, candles=few)
        await night.nightly.review()
        await lived.live(first=FIRST + 1, last=FIRST + 90, candles=few)
        await lived.live(first=FIRST + 90, last=FIRST + 91)
        await night.nightly.review()
        await lived.live(first=FIRST + 91, last=FIRST + 96)
        told = await night.rounds()
        kept = await night.kept()
        seen = Witness.from_json(await lived.kept.ledger.mark(WITNESS))

    assert seen.since[str(late)] == START + (FIRST + 90) * M15.ms
    assert told == expected[0] == []
    assert kept["signals"] < expected[1]["signals"]


async def test_the_witness_notes_rules_beginnings_and_holes_and_outlives_a_restart(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        pair = next(iter(lived.candles))
        holed: Mapping[Pair, Candles] = dict(lived.candles) | {pair: without(lived.candles[pair], FIRST + 5, FIRST + 6)}
        night = Night(lived)
        await night.nightly.review()
        for row in range(FIRST, FIRST + 10):
            time = START + row * M15.ms
            batch = {p: c.between(time, time + 1) for p, c in holed.items()}
            await lived.stage.loop.handle({p: c for p, c in batch.items() if len(c)})
            await night.nightly.review()
        seen = Witness.from_json(await lived.kept.ledger.mark(WITNESS))
        lived.stage.loop.warm(lived.candles[pair].rows(0, FIRST + 10))  # a restart finds the candles in the files
        later = Night(lived)
        lived.stage.loop.in_force = open_handed(strategy={"adx_min": 30})
        await later.nightly.review()
        after = Witness.from_json(await lived.kept.ledger.mark(WITNESS))

    first = START + FIRST * M15.ms
    assert set(seen.since.values()) == {first}
    assert seen.holes == {str(pair): [[first + 5 * M15.ms, first + 6 * M15.ms]]}
    assert [rules["strategy"]["adx_min"] for _, rules in seen.rules] == [10]
    assert after.holes == seen.holes
    assert [rules["strategy"]["adx_min"] for _, rules in after.rules] == [10, 30]


def test_holes_are_the_candles_between_neighbours() -> None:
    times = START + np.array([0, 1, 4, 5, 7]) * M15.ms

    assert holes_of(times, M15.ms) == [[START + 2 * M15.ms, START + 3 * M15.ms], [START + 6 * M15.ms] * 2]


def test_rules_that_another_version_wrote_change_nothing() -> None:
    conf = open_handed()
    book = DayBook(
        START, START, M15.ms, START, (), (), {}, Witness(rules=((START, {**rules_in(conf), "strategy": {"x": 1}}),))
    )

    assert book.rules_of(conf) == conf


def test_only_rules_that_were_in_force_between_the_day_and_its_trades_beginnings_can_be_a_cause() -> None:
    past, early, now, later = (open_handed(strategy={"adx_min": n}) for n in (20, 21, 22, 23))
    times = (START - 9 * DAY_MS, START - 3 * DAY_MS, START + 1, START + DAY_MS)
    rules = tuple((at, rules_in(s)) for at, s in zip(times, (past, early, now, later), strict=True))
    book = DayBook(START, START - 2 * DAY_MS, M15.ms, START, (), (), {}, Witness(rules=rules))

    assert book.rules_of(later) == now
    assert [s.strategy.adx_min for s in book.rules_before(later)] == [21]


async def test_the_check_gives_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    async with days(tmp_path, advisor=Adviser()) as lived:
        await lived.live(last=FIRST + 96)
        from core.services.day_book import read_day

        book = await read_day(lived.kept.ledger, lived.settings, DAYS[0])
        assert book is not None
        found = await in_a_process(lived.store)(lived.settings, book)

        assert found == check_day(lived.store, lived.settings, book)
        assert found.differences
