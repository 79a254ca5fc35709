"""Live trading with the real client against an exchange that misbehaves: every fault told once, no candle lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.adapters.candle_files import CandleFiles
from core.domain.candles import Candles, to_datetime
from core.domain.ledger import Switch
from core.domain.messages import PairStopped
from core.domain.trading import FollowKind
from core.engine.history import GRID
from core.services import candle_keeper, feed
from core.services.listing import LISTED_AGAIN
from tests.fakes.mexc import DAY, START, Answer, FakeMexc, broken, cut_off, refused, silent, text
from tests.ledgers import facts_of
from tests.markets import M15
from tests.scenes import (
    BTC,
    ETH,
    LINK,
    MATIC,
    NOON,
    Moody,
    mexc,
    no_long_pauses,
    running,
)

__all__ = ["mexc"]


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    no_long_pauses(monkeypatch)


async def test_a_start_loads_the_history_says_so_and_waits_for_the_next_close(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        assert all(500 < len(w) <= 500 + GRID for w in scene.loop.memory.windows.values())
        assert set(scene.loop.memory.windows) == {LINK, ETH, BTC}
        assert await scene.notices("started") == ["Julaba is running"]
        await scene.close()
        assert scene.loop.handled(LINK) == NOON
        assert scene.loop.last_close == NOON + M15.ms


async def test_a_renamed_pair_is_stopped_with_one_alert_and_the_others_trade(mexc: Moody, tmp_path: Path) -> None:
    pairs = ("LINK/USDT", "MATIC/USDT")
    for _ in range(2):
        async with running(mexc, tmp_path, pairs) as scene:
            await scene.close()
            stops = await scene.told(PairStopped)
            assert scene.live.watched() == (LINK, BTC)
            assert not scene.loop.enabled(MATIC)
            assert scene.loop.handled(LINK) is not None
            assert scene.live.faults.active == ()

    (stop,) = stops
    assert isinstance(stop, PairStopped)
    assert (stop.pair, stop.successor, stop.reason) == ("MATIC/USDT", "POL/USDT", "is not listed by the exchange")


async def test_a_pair_listed_again_is_watched_told_once_and_stays_off_until_switched_on(
    mexc: Moody, tmp_path: Path
) -> None:
    pairs = ("LINK/USDT", "MATIC/USDT")
    async with running(mexc, tmp_path, pairs):
        pass
    mexc.symbols["MATICUSDT"] = "1"
    for _ in range(2):
        async with running(mexc, tmp_path, pairs) as scene:
            await scene.close()
            assert await scene.notices("recovered") == ["MATIC/USDT is traded again"]
            assert scene.loop.memory.switches[MATIC] == Switch(False, LISTED_AGAIN)
            assert scene.live.notes == {}
            assert MATIC in scene.live.watched()
            assert scene.loop.handled(MATIC) is not None


async def test_a_pair_listed_again_is_noticed_by_the_next_day_without_a_restart(mexc: Moody, tmp_path: Path) -> None:
    mexc.now = START + 20 * DAY - M15.ms + 10
    async with running(mexc, tmp_path, ("LINK/USDT", "MATIC/USDT")) as scene:
        mexc.symbols["MATICUSDT"] = "1"
        await scene.close()
        assert await scene.notices("recovered") == ["MATIC/USDT is traded again"]
        await scene.close()
        assert scene.loop.handled(MATIC) == START + 20 * DAY
        assert len(scene.loop.memory.windows[MATIC]) > 500


@pytest.mark.parametrize("still_listed", [False, True])
async def test_a_pair_delisted_in_the_middle_is_stopped_once_and_no_fault_stays(
    mexc: Moody, tmp_path: Path, still_listed: bool
) -> None:
    async with running(mexc, tmp_path) as scene:
        await scene.close()
        if still_listed:
            mexc.gone.add("ETHUSDT")
        else:
            del mexc.symbols["ETHUSDT"]
        await scene.close(3)
        assert scene.loop.handled(LINK) == NOON + 3 * M15.ms
        assert len(await scene.told(PairStopped)) == 1
        assert scene.live.faults.active == ()
        assert await scene.notices("fault") == []
        assert not scene.loop.enabled(ETH)
        asked = len([q for q in mexc.asked("klines") if q["symbol"] == "ETHUSDT"])
        await scene.close()
        assert len([q for q in mexc.asked("klines") if q["symbol"] == "ETHUSDT"]) == asked
    async with running(mexc, tmp_path) as scene:
        assert len(await scene.told(PairStopped)) == 1


async def test_a_reference_without_candles_leaves_the_pairs_trading(mexc: Moody, tmp_path: Path) -> None:
    del mexc.symbols["BTCUSDT"]
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        assert scene.loop.handled(LINK) == NOON + M15.ms
        assert scene.live.faults.active == ()
        assert len(await scene.told(PairStopped)) == 1


async def test_an_exchange_that_is_down_at_the_start_is_one_fault_and_one_all_clear(
    mexc: Moody, tmp_path: Path
) -> None:
    mexc.faulty_route, mexc.faults = "/api/v3/time", [broken()] * 5
    async with running(mexc, tmp_path) as scene:
        assert not mexc.faults
        assert await scene.notices("fault") == ["No candles from the exchange"]
        assert await scene.notices("recovered") == ["Candles come from the exchange again"]
        assert scene.live.faults.active == ()
        await scene.close()


async def test_one_pair_without_history_at_the_start_does_not_keep_the_others_from_trading(
    mexc: Moody, tmp_path: Path
) -> None:
    mexc.moods["ETHUSDT"] = broken()
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        assert scene.loop.handled(LINK) == NOON + M15.ms
        assert scene.live.faults.active == ("ETH/USDT: its history cannot be had",)
        mexc.moods.clear()
        await scene.close(2)
        assert len(scene.loop.memory.windows[ETH]) > 500
        assert scene.loop.handled(ETH) == NOON + 3 * M15.ms
        assert await scene.notices("fault") == ["ETH/USDT: its history cannot be had"]
        assert await scene.notices("recovered") == ["ETH/USDT: candles come again"]


async def test_a_broken_candle_file_stops_its_pair_alone(mexc: Moody, tmp_path: Path) -> None:
    store = CandleFiles(tmp_path / "candles")
    store.path(ETH, M15).parent.mkdir(parents=True)
    store.path(ETH, M15).write_bytes(b"no parquet at all")
    async with running(mexc, tmp_path) as scene:
        await scene.close()
        assert scene.loop.handled(LINK) == NOON
        assert scene.live.faults.active == ("ETH/USDT: its history cannot be had",)


@pytest.mark.parametrize("fault", [broken(), cut_off, text("null"), text("<html>moment</html>", "text/html")])
async def test_a_passing_fault_of_one_answer_costs_no_candle_and_no_alert(
    mexc: Moody, tmp_path: Path, fault: Answer
) -> None:
    async with running(mexc, tmp_path) as scene:
        mexc.faults = [fault]
        await scene.close()
        await scene.until(lambda: all(scene.loop.handled(p) == NOON for p in (LINK, ETH)))
        assert await scene.notices("fault") == []


async def test_a_pair_that_fails_holds_up_nobody_and_catches_up(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        mexc.moods["ETHUSDT"] = broken()
        await scene.close(3)
        assert scene.loop.handled(LINK) == NOON + 2 * M15.ms
        assert scene.loop.handled(ETH) is None
        await scene.until_told("ETH/USDT: no candle since 21 Jan 12:00 UTC")
        mexc.moods.clear()
        await scene.close()
        assert scene.loop.handled(ETH) == NOON + 3 * M15.ms
        times = [int(t) for t in scene.loop.memory.windows[ETH].time[-4:]]
        assert times == [NOON + n * M15.ms for n in range(4)]
        assert await scene.notices("fault") == ["ETH/USDT: no candle since 21 Jan 12:00 UTC"]
        assert await scene.notices("recovered") == ["ETH/USDT: candles come again"]


async def test_a_pair_that_hangs_holds_up_nobody(mexc: Moody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PATIENCE", 0.2)
    async with running(mexc, tmp_path) as scene:
        mexc.moods["ETHUSDT"] = silent(3)
        scene.pass_time()
        await scene.until(lambda: scene.loop.handled(LINK) == NOON, seconds=1.5)
        mexc.moods.clear()
        await scene.until(lambda: scene.loop.handled(ETH) == NOON)


async def test_an_asked_for_pause_is_kept_before_anything_else_is_asked(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        mexc.faults = [refused("0.4")]
        moment = asyncio.get_running_loop().time()
        scene.pass_time()
        await scene.until(lambda: all(w.time[-1] == NOON for w in scene.loop.memory.windows.values()))
        assert asyncio.get_running_loop().time() - moment >= 0.4


async def test_closes_that_come_faster_than_answers_are_handled_all_the_same(mexc: Moody, tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return await FakeMexc._handle(mexc, request)

    async with running(mexc, tmp_path) as scene:
        mexc.moods = dict.fromkeys(("LINKUSDT", "ETHUSDT", "BTCUSDT"), slow)
        for _ in range(12):
            scene.pass_time()
            await asyncio.sleep(0.05)
        assert (scene.loop.last_close or 0) > NOON + M15.ms


async def test_a_pair_out_of_the_settings_gets_the_exits_it_missed_while_nobody_ran(
    mexc: Moody, tmp_path: Path
) -> None:
    async with running(mexc, tmp_path) as scene:
        while not any(f.pair == ETH for f in scene.loop.memory.book.follows.values()):
            await scene.close()
        bars = {f.follow_id: f.follow.bars for f in scene.loop.memory.book.follows.values() if f.pair == ETH}
    mexc.now += 3 * M15.ms
    async with running(mexc, tmp_path, pairs=("LINK/USDT",)) as scene:
        again = {n: await scene.kept.ledger.follow(n) for n in bars}

    for number, record in again.items():
        assert record is not None
        assert record.follow.closed or record.follow.bars == bars[number] + 3


async def test_a_long_pause_that_the_exchange_wants_is_told_at_once(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        mexc.moods["ETHUSDT"] = refused("3600")
        scene.pass_time()
        await scene.until_told("The exchange asks us to wait until 13:")


async def test_an_outage_is_told_once_and_every_missed_candle_is_worked_through(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        await scene.close()
        mexc.moods = dict.fromkeys(("LINKUSDT", "ETHUSDT", "BTCUSDT"), broken())
        for _ in range(3):
            scene.pass_time()
            await asyncio.sleep(0.05)
            await scene.idle()
        mexc.moods = {}
        await scene.close()
        equity = await scene.kept.ledger.equity_curve()
        assert [t for t, _ in equity] == [NOON + n * M15.ms for n in range(1, 6)]
        assert await scene.notices("fault") == ["No candles from the exchange since 21 Jan 12:15 UTC"]
        assert await scene.notices("recovered") == ["Candles come from the exchange again"]


async def test_a_store_that_fails_begins_again_from_the_store_and_loses_no_candle(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        commit, failing = scene.kept.ledger.commit, True

        async def full(effect: Any) -> bool:
            if failing:
                raise OSError(28, "No space left on device")
            return await commit(effect)

        scene.kept.ledger.commit = full  # type: ignore[method-assign]
        scene.pass_time()
        await scene.until(lambda: scene.live.faults.active)
        failing = False
        await scene.until(lambda: scene.loop.handled(LINK) == NOON + 2 * M15.ms)
        await scene.idle()
        await scene.close()
        times = [t for t, _ in await scene.kept.ledger.equity_curve()]
        assert times == [NOON + n * M15.ms for n in range(1, 5)]
        assert await scene.notices("fault") == ["Trading broke off and begins again from the store"]
        assert await scene.notices("recovered") == ["Trading goes on"]
        assert await scene.notices("started") == ["Julaba is running"]


async def test_candles_are_kept_in_memory_saved_now_and_then_and_when_it_stops(
    mexc: Moody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_keeper, "SAVE_AFTER", 3)
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        assert len(scene.store.load(LINK, M15, NOON)) == 0
        await scene.close(2)
        assert len(scene.store.load(LINK, M15, NOON)) == 3
    assert len(CandleFiles(tmp_path / "candles").load(LINK, M15, NOON)) == 4


async def test_candles_that_cannot_be_written_are_kept_and_told(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        save = scene.store.save

        def full(candles: Candles) -> int:
            raise OSError(28, "No space left on device")

        scene.store.save = full  # type: ignore[method-assign]
        await scene.live.save()
        await scene.live.save()
        await scene.close()
        scene.store.save = save  # type: ignore[method-assign]
        await scene.live.save()
        assert len(scene.store.load(ETH, M15, NOON)) == 3
        assert await scene.notices("fault") == ["Candles cannot be written to the disk"]
        assert await scene.notices("recovered") == ["Candles are written again"]


async def ledger_after(mexc: Moody, folder: Path, closes: int, stops: Mapping[int, int]) -> dict[str, Any]:
    """The ledger after so many closes; at a stop the bot is down for that many of them."""
    mexc.now = NOON + 10
    done = 0
    while done < closes:
        async with running(mexc, folder, strategy={"max_bars": 30}) as scene:
            while done < closes:
                await scene.close()
                done += 1
                if done in stops:
                    break
            facts = await facts_of(scene.kept)
        down = stops.get(done, 0)
        mexc.now += down * M15.ms
        done += down
    del facts["outbox"]  # each start says so
    return facts


async def test_restarts_between_closes_leave_the_ledger_of_an_unbroken_run(mexc: Moody, tmp_path: Path) -> None:
    whole = await ledger_after(mexc, tmp_path / "whole", 90, {})
    broken_up = await ledger_after(mexc, tmp_path / "broken", 90, {1: 0, 17: 0, 40: 0, 41: 0})

    assert any(row[2] == FollowKind.TRADE for row in whole["follows"])
    assert broken_up == whole


SIGNAL = 20  # the candle after NOON at which LINK and ETH cross


async def test_after_a_downtime_exits_are_honoured_at_their_time(mexc: Moody, tmp_path: Path) -> None:
    whole = await ledger_after(mexc, tmp_path / "whole", 90, {})
    broken_up = await ledger_after(mexc, tmp_path / "broken", 90, {SIGNAL + 3: 60})

    assert {(d[3], d[6]) for d in whole["decisions"]} >= {(NOON + SIGNAL * M15.ms, "taken")}
    assert any(leg[3] <= NOON + (SIGNAL + 60) * M15.ms for leg in whole["legs"])
    del whole["decisions"], broken_up["decisions"]  # they say when they were made
    assert broken_up == whole


async def test_a_signal_of_the_downtime_is_missed_and_followed_never_taken_late(mexc: Moody, tmp_path: Path) -> None:
    ledger = await ledger_after(mexc, tmp_path, 60, {SIGNAL - 5: 20})

    assert {d[6] for d in ledger["decisions"] if d[3] == NOON + SIGNAL * M15.ms} == {"missed"}
    assert {f[2] for f in ledger["follows"]} == {FollowKind.SHADOW_SIGNAL, FollowKind.SHADOW_CANDIDATE}


async def test_after_a_long_downtime_the_reference_is_known_at_the_oldest_missed_candle_too(
    mexc: Moody, tmp_path: Path
) -> None:
    short: dict[str, Any] = {"candles": {"history": 300}}
    mexc.now = NOON + 10
    async with running(mexc, tmp_path, **short) as scene:
        await scene.close()
    mexc.now += (300 + 2 * GRID) * M15.ms
    async with running(mexc, tmp_path, **short) as scene:
        missed = await scene.kept.ledger.decisions()

    assert len(missed) > 2
    assert [d.open_time for d in missed if d.btc_correlation is None] == []


async def test_a_signal_of_the_candle_that_closed_while_it_was_down_is_still_taken(mexc: Moody, tmp_path: Path) -> None:
    whole = await ledger_after(mexc, tmp_path / "whole", 60, {})
    late = await ledger_after(mexc, tmp_path / "late", 60, {SIGNAL: 1})

    assert late == whole


async def test_a_close_whose_candles_came_with_those_of_the_one_before_is_no_outage(
    mexc: Moody, tmp_path: Path
) -> None:
    """The next candle had closed by the time the exchange answered, and it gave both."""
    async with running(mexc, tmp_path) as scene:
        first, second = NOON + M15.ms, NOON + 2 * M15.ms
        mexc.now = second + 10
        scene.clock.advance(to_datetime(first + 10))
        await scene.until(lambda: scene.live.settled == first)
        assert scene.loop.handled(LINK) == first
        scene.clock.advance(to_datetime(second + 10))
        await scene.until(lambda: scene.live.settled == second)

        assert await scene.notices("fault") == []


async def test_the_third_of_three_like_signals_at_one_candle_is_refused_for_the_two_before_it(
    mexc: Moody, tmp_path: Path
) -> None:
    async with running(mexc, tmp_path, ("LINK/USDT", "ETH/USDT", "POL/USDT"), portfolio={"max_open_risk": 1}) as scene:
        await scene.close(SIGNAL + 1)
        decisions = await scene.kept.ledger.decisions(signals_only=True)

    assert [(d.status, d.reason) for d in decisions] == [
        ("taken", ""),
        ("taken", ""),
        ("refused", "moves with LINK/USDT, ETH/USDT"),
    ]


async def test_a_pair_that_comes_late_over_midnight_leaves_the_day_and_its_equity_alone(
    mexc: Moody, tmp_path: Path
) -> None:
    midnight = START + 21 * DAY
    mexc.now = midnight - 2 * M15.ms + 10
    async with running(mexc, tmp_path) as scene:
        await scene.close()
        mexc.moods["ETHUSDT"] = broken()
        await scene.close(3)
        curve = await scene.kept.ledger.equity_curve()
        start_of_day = scene.loop.account.day_start_equity
        mexc.moods.clear()
        await scene.close()

        assert scene.loop.handled(ETH) == midnight + 2 * M15.ms
        assert (await scene.kept.ledger.equity_curve())[:-1] == curve
        assert (scene.loop.account.day, scene.loop.account.day_start_equity) == (midnight // DAY, start_of_day)
