"""The alignment's candles: of every timeframe those that had closed by the signal's close, and not one more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import pytest

from core.adapters.ccxt_market import CcxtMarket
from core.config import Exchange, Rules
from core.domain.candles import Candles, Pair, Timeframe
from core.engine.filters import Facts, gather_facts
from core.services import feed
from core.services.feed import ExchangeLower
from tests.fakes.mexc import DAY, START, FakeMexc, broken, candle_at, row_of

LINK = Pair.parse("LINK/USDT")
M5, M15 = Timeframe.parse("5m"), Timeframe.parse("15m")
CLOSE = START + 2 * DAY + 10 * 3_600_000 + M15.ms  # 10:15: inside an hour


@pytest.fixture
async def mexc() -> AsyncIterator[FakeMexc]:
    async with FakeMexc(now=CLOSE + 1_000).serving() as server:
        yield server


@pytest.fixture
async def lower(mexc: FakeMexc) -> AsyncIterator[ExchangeLower]:
    market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
    yield ExchangeLower(market)
    await market.close()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE", 0.001)


async def five(lower: ExchangeLower) -> Candles:
    found = await lower.lower(LINK, "5m", CLOSE)
    assert found is not None
    return found


async def test_the_candle_that_closes_at_the_decision_is_the_last_one(lower: ExchangeLower) -> None:
    found = await five(lower)

    assert int(found.time[-1]) + M5.ms == CLOSE
    assert len(found) >= 40


@pytest.mark.parametrize("late", [1_000, M5.ms, M5.ms + 60_000, 3 * 3_600_000])
async def test_nothing_that_closed_later_is_there_however_late_the_question(
    mexc: FakeMexc, lower: ExchangeLower, late: int
) -> None:
    """Right after the close a 5m candle is running; three hours later, after a restart, it and others have closed."""
    in_time = await five(lower)
    mexc.now = CLOSE + late

    assert list(await five(lower)) == list(in_time)


async def test_a_candle_that_the_exchange_has_not_ready_yet_is_waited_for(mexc: FakeMexc, lower: ExchangeLower) -> None:
    whole = await five(lower)
    slow = [True, True]
    mexc.spoil = lambda rows: rows[:-1] if slow and slow.pop() else rows

    assert list(await five(lower)) == list(whole)


async def test_a_candle_that_never_comes_is_not_waited_for_for_ever(mexc: FakeMexc, lower: ExchangeLower) -> None:
    whole = await five(lower)
    mexc.absent = {CLOSE - M5.ms}
    mexc.requests.clear()

    assert list(await five(lower)) == list(whole)[:-1]
    assert 1 < len(mexc.asked("klines")) < 10


async def test_an_exchange_that_fails_gives_nothing_and_raises_nothing(mexc: FakeMexc, lower: ExchangeLower) -> None:
    mexc.faults = [broken()] * 20

    assert await lower.lower(LINK, "5m", CLOSE) is None


# -- what the rule sees of them ---------------------------------------------------------------------------------------


def window(rows: int = 400) -> Candles:
    """15m candles up to the decision."""
    return Candles.of(LINK, M15, [candle_at(CLOSE - n * M15.ms) for n in range(rows, 0, -1)])


def facts(own: Candles, lower: Candles | None) -> Facts:
    return gather_facts(own, None, {"5m": lower} if lower is not None else {}, {}, Rules())


async def test_the_future_changes_no_trend(mexc: FakeMexc, lower: ExchangeLower) -> None:
    """Candles after the signal's close, open or closed by now, may be there: the rule does not see them."""
    early = await five(lower)
    now = facts(window(), early).trends
    mexc.now = CLOSE + DAY
    later = await lower.lower(LINK, "5m", CLOSE + 20 * M5.ms)
    assert later is not None
    wild = [replace(c, high=1e6, close=1e6) for c in later if c.open_time >= CLOSE]
    both = Candles.of(LINK, M5, [*early, *wild])

    assert set(now) == {"5m", "15m", "1h"}
    assert None not in now.values()
    assert facts(window(), both).trends == now


async def test_a_running_hour_does_not_count(lower: ExchangeLower) -> None:
    """At 10:15 the hour from 10:00 is running: a price in it changes the 15m trend and leaves the 1h one alone."""
    own = window()
    for direction in (1e6, 1e-6):
        close = own.close.copy()
        close[-1] = direction
        moved = facts(replace(own, close=close), await five(lower)).trends

        assert moved["1h"] == facts(own, await five(lower)).trends["1h"]
        assert moved["15m"] == (1 if direction > 1 else -1)


async def test_without_lower_candles_the_rule_knows_that_it_does_not_know() -> None:
    assert facts(window(), None).trends["5m"] is None


def test_the_stand_in_gives_each_time_its_own_candle() -> None:
    """Else the tests above would hold for any candles."""
    rows = [row_of(candle_at(CLOSE - n * M5.ms), M5.ms) for n in range(50)]

    assert all(a[4] != b[4] for a, b in pairwise(rows))
