"""A computer whose clock is wrong acts at the exchange's closes all the same, and its time never goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.adapters.clocks import CorrectedClock
from core.domain.candles import to_ms

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Computer:
    """A clock that is ``wrong`` seconds ahead of the truth, and the seconds that have passed."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.passed, self.wrong = 1000.0, wrong
        self.clock = CorrectedClock(self.wall, lambda: self.passed, slice_seconds=0.001)

    def true(self) -> datetime:
        return NOON + timedelta(seconds=self.passed - 1000.0)

    def wall(self) -> datetime:
        return self.true() + timedelta(seconds=self.wrong)

    def ask(self, takes: float = 0.2, says: datetime | None = None) -> None:
        """The exchange answers with its time in the middle of the question."""
        stamp = self.clock.stamp()
        self.passed += takes / 2
        heard = to_ms(says or self.true())
        self.passed += takes / 2
        self.clock.heard(stamp, heard)


def test_never_heard_it_is_the_computers_own_time() -> None:
    computer = Computer(wrong=61)

    assert computer.clock.offset is None
    assert computer.clock.now() == computer.wall()


@pytest.mark.parametrize("wrong", [61.0, -61.0, 3600.0, 0.0])
def test_heard_once_it_is_the_exchanges_time_however_wrong_the_computer(wrong: float) -> None:
    computer = Computer(wrong)
    computer.ask()

    assert computer.clock.offset == pytest.approx(wrong, abs=0.01)
    assert computer.clock.now() == pytest.approx(computer.true(), abs=timedelta(seconds=0.01))
    computer.passed += 600
    assert computer.clock.now() == pytest.approx(computer.true(), abs=timedelta(seconds=0.01))


def test_set_right_by_a_minute_it_stands_still_for_a_minute_and_never_goes_back() -> None:
    computer = Computer(wrong=61)
    before = computer.clock.now()
    computer.ask()
    assert computer.clock.now() == before
    computer.passed += 30
    assert computer.clock.now() == before
    computer.passed += 60

    assert computer.clock.now() == pytest.approx(computer.true(), abs=timedelta(seconds=0.01))


def test_while_its_clock_is_set_nothing_moves() -> None:
    computer = Computer(wrong=0)
    computer.ask()
    computer.wrong = -7200

    assert computer.clock.now() == pytest.approx(computer.true(), abs=timedelta(seconds=0.01))
    assert computer.clock.offset == pytest.approx(-7200, abs=0.01)


def test_a_slow_answer_is_believed_only_where_it_proves_the_time_wrong() -> None:
    computer = Computer(wrong=0)
    computer.ask()
    computer.passed += 900
    computer.ask(takes=6, says=computer.true() + timedelta(seconds=5))
    assert computer.clock.offset == pytest.approx(0, abs=0.01), "the answer may have been five seconds on its way"
    computer.passed += 900
    computer.ask(takes=6, says=computer.true() + timedelta(seconds=65))
    assert computer.clock.offset == pytest.approx(-62, abs=0.01), "no way takes a minute of six seconds"


def test_an_exchange_whose_clock_stands_does_not_stop_ours() -> None:
    computer = Computer(wrong=0)
    computer.ask(says=NOON)
    computer.passed += 900
    computer.ask(says=NOON)

    assert computer.clock.now() == pytest.approx(computer.true(), abs=timedelta(seconds=0.5))


@pytest.mark.parametrize("wrong", [61.0, -61.0])
async def test_it_wakes_at_the_exchanges_close(wrong: float) -> None:
    computer = Computer(wrong)
    computer.ask()
    close = computer.true() + timedelta(seconds=30)
    computer.passed += 29.99

    def passing() -> float:
        computer.passed += 0.005
        return computer.passed

    computer.clock._elapsed = passing
    await computer.clock.sleep_until(close)
    assert computer.true() >= close
    assert computer.true() - close < timedelta(seconds=1)
