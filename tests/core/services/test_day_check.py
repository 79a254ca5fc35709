"""A lived day against a backtest of it: the real loop is disturbed on purpose, and every difference finds its cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, to_datetime
from core.domain.ledger import DecisionRecord, Switch
from core.domain.trading import Candidate, GeminiOpinion, Ruling, Verdict
from core.services.day_book import WITNESS, Witness, read_day, rules_in
from core.services.day_check import (
    CHANGED,
    LATE,
    MISSED,
    NOT_STORED,
    UNKNOWN,
    YOUNG,
    DayCheck,
    DayDifference,
    cause_of_refusal,
    check_day,
    lines_of,
)
from core.services.loop import TradingLoop
from tests.ledgers import Books, Stage, books, market, settings
from tests.lived import signal
from tests.markets import M15, START

FIRST, LAST = 480, 768  # three days, the sixth to the eighth of January
DAYS = [START + n * DAY_MS for n in range(5, 8)]
SEED = 10  # a market with many signals on its first day
LINK, ETH = Pair.parse("LINK/USDT"), Pair.parse("ETH/USDT")
WIDE = {"max_positions": 50, "max_correlated": 50, "max_open_risk": 1.0, "daily_loss": 0.99}
WIDE |= {"drawdown_warn": 0.98, "drawdown_pause": 0.99}


def open_handed(**changes: Any) -> Settings:
    """Nothing refuses: every signal is taken, unless its pair has a position."""
    base: dict[str, Any] = {
        "portfolio": WIDE,
        "rules": {"alignment": "record", "btc": "record"},
        "paper": {"max_leverage": 1000},
    }
    return settings(**(base | changes))


@dataclass
class Days:
    """A loop that lives through three days, and the files in which the same candles are stored."""

    kept: Books
    store: CandleFiles
    settings: Settings
    stage: Stage
    candles: Mapping[Pair, Candles]

    async def live(self, first: int = FIRST, last: int = LAST, candles: Mapping[Pair, Candles] | None = None) -> None:
        await self.stage.play(candles or self.candles, first, last)

    async def check(self, day: int, settings: Settings | None = None) -> DayCheck:
        conf = settings or self.settings
        book = await read_day(self.kept.ledger, conf, day)
        assert book is not None
        return check_day(self.store, conf, book)

    async def found(self) -> list[DayDifference]:
        return [d for day in DAYS for d in (await self.check(day)).differences]

    async def causes(self) -> set[str]:
        return {d.cause for d in await self.found()}


@asynccontextmanager
async def days(
    folder: Path, conf: Settings | None = None, stored: Mapping[Pair, Candles] | None = None, **parts: Any
) -> AsyncIterator[Days]:
    conf, candles = conf or open_handed(), market(960, seed=SEED)
    store = CandleFiles(folder / "candles")
    for window in (stored or candles).values():
        store.save(window)
    async with books(folder) as kept:
        stage = await Stage.begin(kept, FIRST, conf, **parts)
        for window in candles.values():
            stage.loop.warm(window.rows(0, FIRST))
        yield Days(kept, store, conf, stage, candles)


def without(candles: Candles, *rows: int) -> Candles:
    keep = np.ones(len(candles), dtype=np.bool_)
    keep[list(rows)] = False
    columns = (getattr(candles, name)[keep] for name in ("time", "open", "high", "low", "close", "volume"))
    return Candles(candles.pair, candles.timeframe, *columns)


async def play_by_time(lived: Days, candles: Mapping[Pair, Candles], first: int = FIRST, last: int = LAST) -> None:
    """As ``live``, where rows are no longer times."""
    for row in range(first, last):
        time = START + row * M15.ms
        lived.stage.clock.advance(max(lived.stage.clock.now(), _close(time)))
        batch = {pair: c.between(time, time + 1) for pair, c in candles.items()}
        await lived.stage.loop.handle({pair: c for pair, c in batch.items() if len(c)})


def _close(time: int) -> datetime:
    return to_datetime(time + M15.ms)


async def signals_of(lived: Days) -> list[DecisionRecord]:
    return await lived.kept.ledger.decisions(signals_only=True)


# -- nothing to tell --


async def test_days_on_which_nothing_interfered_are_as_in_the_backtest(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        checks = [await lived.check(day) for day in DAYS]
        signals = await signals_of(lived)
        ended = [r for r in await lived.kept.ledger.trade_rows(signals_only=True) if r.follow.follow.closed]

    positions = [d for check in checks for d in check.differences if "already has a position" not in d.detail]
    assert not positions
    assert sum(c.signals for c in checks) == len(signals) >= 8
    assert sum(c.outcomes for c in checks) == len(ended) >= 5


async def test_a_day_is_the_same_whether_checked_at_midnight_or_days_later(tmp_path: Path) -> None:
    async with days(tmp_path, advisor=Adviser()) as lived:
        await lived.live(last=FIRST + 96)
        at_midnight = await lived.check(DAYS[0])
        await lived.live(first=FIRST + 96)

        assert await lived.check(DAYS[0]) == at_midnight
        assert at_midnight.differences


async def test_a_ledger_has_no_book_of_a_day_it_did_not_live(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        assert await read_day(lived.kept.ledger, lived.settings, DAYS[0]) is None
        await lived.live(last=FIRST + 96)

        assert await read_day(lived.kept.ledger, lived.settings, DAYS[0] - DAY_MS) is None
        assert await read_day(lived.kept.ledger, lived.settings, DAYS[0]) is not None
        assert await read_day(lived.kept.ledger, lived.settings, DAYS[1]) is None


# -- signals that were not taken --


class Adviser:
    """Stands where Gemini would."""

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        return GeminiOpinion(False, 0.9, "no", (), "test")


async def test_a_limit_is_named_with_the_ledger_s_own_sentence(tmp_path: Path) -> None:
    async with days(tmp_path, open_handed(portfolio=WIDE | {"max_positions": 1})) as lived:
        await lived.live()
        found = [d for d in await lived.found() if "1 of 1 positions open" in d.detail]

    assert found
    assert {(d.what, d.cause) for d in found} == {("not taken", "limit")}
    assert found[0].line.endswith("not taken, limit (1 of 1 positions open)")


async def test_what_gemini_refuses_is_named(tmp_path: Path) -> None:
    async with days(tmp_path, advisor=Adviser()) as lived:
        await lived.live()
        checks = [await lived.check(day) for day in DAYS]

    assert all(c.causes in ({}, {"Gemini": c.signals}) for c in checks)
    assert checks[0].title == "Parity 06 Jan: 4 of 4 signals differ from the backtest"


async def test_a_pause_and_a_pair_that_is_off_are_named(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        lived.stage.loop.memory.switches[ETH] = Switch(False, "by Ada")
        controls = lived.stage.loop.memory.controls
        lived.stage.loop.memory.controls = replace(controls, paused="by Ada")
        await lived.live()
        found = await lived.found()

    assert {d.cause for d in found if d.pair == ETH} == {"pair off"}
    assert {d.cause for d in found if d.pair != ETH} == {"pause"}


async def test_signals_found_late_are_named(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        lived.stage.clock.advance(_close(START + (FIRST + 95) * M15.ms))
        await lived.live()
        found = (await lived.check(DAYS[0])).differences

    assert LATE in {d.cause for d in found}
    assert all("a candle late" in d.detail for d in found if d.cause == LATE)


@pytest.mark.parametrize(
    ("layer", "rule", "cause"),
    [
        ("combined", "confidence", "weight and confidence"),
        ("rules", "alignment", "rule"),
        ("rules", "btc", "rule"),
        ("portfolio", "daily_loss", "breaker"),
        ("portfolio", "drawdown", "breaker"),
        ("portfolio", "cooldown", "breaker"),
        ("portfolio", "correlated", "limit"),
        ("portfolio", "open_risk", "limit"),
        ("something", "new", UNKNOWN),
    ],
)
def test_each_layer_that_refuses_is_a_cause(layer: str, rule: str, cause: str) -> None:
    decision, _ = signal(1)
    refused = Verdict(layer, rule, Ruling.REFUSE, None, "because")

    assert cause_of_refusal(replace(decision, verdicts=(refused,))) == (cause, "because")


def test_a_signal_not_taken_without_a_reason_is_a_fault() -> None:
    decision, _ = signal(1)

    assert cause_of_refusal(decision) == (UNKNOWN, "refused without a verdict that refuses")
    assert cause_of_refusal(replace(decision, status="signal_only", reason="only told"))[0] == "mode"


# -- candles that the loop never had --


async def test_candles_that_came_to_the_files_later_are_named_where_they_made_a_difference(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        first = (await signals_of(lived))[0]
    row = (first.open_time - START) // M15.ms
    async with days(tmp_path / "holes") as lived:
        holed = dict(lived.candles) | {first.pair: without(lived.candles[first.pair], row, row + 1)}
        await play_by_time(lived, holed)
        untold = await lived.check(DAYS[0])
        hole = [first.open_time, first.open_time + M15.ms]
        await lived.kept.ledger.set_mark(WITNESS, Witness(holes={str(first.pair): [hole]}).to_json())
        told = await lived.check(DAYS[0])
        causes = await lived.causes()

    lost = [d for d in told.differences if d.time == first.open_time + M15.ms and d.pair == first.pair]
    assert [(d.what, d.cause) for d in lost] == [("signal", MISSED)]
    assert untold.unknown
    assert UNKNOWN not in causes


async def test_candles_that_the_files_lack_are_named(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        first = (await signals_of(lived))[0]
    row = (first.open_time - START) // M15.ms
    candles = market(960, seed=SEED)
    holed = candles | {first.pair: without(candles[first.pair], row)}
    async with days(tmp_path / "files", stored=holed) as lived:
        await lived.live()
        found = (await lived.check(DAYS[0])).differences

    assert NOT_STORED in {d.cause for d in found if d.time == first.open_time + M15.ms}


async def test_candles_not_worked_through_yet_are_late(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        last = [d for d in await signals_of(lived) if d.open_time < DAYS[1]][-1]
    async with days(tmp_path / "behind") as lived:
        behind = dict(lived.candles) | {last.pair: lived.candles[last.pair].between(None, last.open_time)}
        await lived.live(candles=behind, last=FIRST + 96)
        found = (await lived.check(DAYS[0])).differences

    assert {(d.pair, d.cause) for d in found if d.time == last.open_time + M15.ms} == {(last.pair, LATE)}


async def test_a_signal_on_too_short_a_history_is_named(tmp_path: Path) -> None:
    conf = open_handed(strategy={"adx_min": 0, "volume_ratio_min": 0, "rsi_long_max": 100, "rsi_short_min": 0})
    gap = list(range(FIRST + 10, FIRST + 30))
    broken = {pair: without(c, *gap) for pair, c in market(960, seed=SEED).items()}
    async with days(tmp_path, conf, stored=broken) as lived:
        await play_by_time(lived, broken)
        found = await lived.found()

    young = [d for d in found if d.cause == YOUNG]
    assert young
    assert {d.what for d in young} == {"signal"}
    assert UNKNOWN not in {d.cause for d in found}


# -- settings --


async def test_settings_changed_during_the_day_are_named_by_what_was_in_force(tmp_path: Path) -> None:
    loose = {"adx_min": 10.0, "volume_ratio_min": 0.0, "rsi_long_max": 100.0, "rsi_short_min": 0.0}
    before, after = open_handed(strategy=loose), open_handed(strategy=loose | {"adx_min": 99.0})
    async with days(tmp_path, before) as lived:
        await lived.live(last=FIRST + 90)
        lived.settings = after
        plain = await lived.check(DAYS[0])
        seen = Witness(rules=((DAYS[0] - DAY_MS, rules_in(before)), (DAYS[0] + 90 * M15.ms, rules_in(after))))
        await lived.kept.ledger.set_mark(WITNESS, seen.to_json())
        known = await lived.check(DAYS[0])

    assert set(plain.causes) == {UNKNOWN}
    assert set(known.causes) == {CHANGED}
    assert {d.what for d in known.differences} == {"signal"}


async def test_a_day_that_is_caught_up_is_judged_by_its_own_settings(tmp_path: Path) -> None:
    """Changed two days later, they are no difference at all."""
    before = open_handed()
    async with days(tmp_path, before) as lived:
        await lived.live()
        expected = await lived.check(DAYS[0])
        after = open_handed(strategy={"adx_min": 99.0})
        seen = Witness(rules=((DAYS[0] - DAY_MS, rules_in(before)), (DAYS[2], rules_in(after))))
        await lived.kept.ledger.set_mark(WITNESS, seen.to_json())

        assert await lived.check(DAYS[0], after) == expected


# -- without a cause --


async def test_levels_that_are_not_the_backtest_s_are_told_with_both(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        async with lived.kept.db.transaction() as tx:
            await tx.execute("UPDATE follows SET stop = stop * 1.001 WHERE kind = 'trade'")
        found = [d for d in (await lived.check(DAYS[0])).differences if d.what == "levels"]

    assert found
    assert {d.cause for d in found} == {UNKNOWN}
    assert "backtest" in found[0].detail


async def test_signals_that_the_loop_overlooked_have_no_cause_and_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with days(tmp_path) as lived:
        await lived.live(last=FIRST + 96)
        times = [d.open_time for d in await signals_of(lived)]
    gone, seen = {times[0], times[-1]}, TradingLoop._propose
    monkeypatch.setattr(
        TradingLoop, "_propose", lambda loop, pair, time: None if time in gone else seen(loop, pair, time)
    )
    async with days(tmp_path / "blind", advisor=Adviser()) as lived:
        await lived.live(last=FIRST + 96)
        found = (await lived.check(DAYS[0])).differences

    assert [d.time - M15.ms for d in found[:2]] == [times[0], times[-1]]
    assert {(d.what, d.cause) for d in found[:2]} == {("signal", UNKNOWN)}
    assert "the ledger has no crossover" in found[0].detail
    assert {d.cause for d in found[2:]} == {"Gemini"}


def test_many_lines_are_cut_and_counted() -> None:
    one = DayDifference(LINK, START, signal(1)[0].direction, "signal", UNKNOWN, "")

    assert len(lines_of([one] * 10, 10)) == 10
    assert lines_of([one] * 12, 10)[-1] == "… and 3 more"
    assert lines_of([one], 10) == ["LINK LONG 00:00: signal, unknown"]
