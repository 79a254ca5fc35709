"""Ten kills in a day of the real process leave the books, the approvals and the alerts as they are without any.

``make soak`` does the same with 200 in a month.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from core.domain.candles import Pair, Timeframe
from core.engine.candle_faults import find_faults
from julaba_tg.phone.market_sim import MarketSim, resampled
from tests.soak.comparing import differences
from tests.soak.killing import SHARES, plan
from tests.soak.people import SHORT
from tests.soak.real import SplitSource, minutes_of
from tests.soak.runs import soak
from tests.soak.world import M15

KILLS, CLOSES = 10, 60


@pytest.mark.timeout(400)
async def test_ten_kills_in_a_day_change_nothing_in_the_books(tmp_path: Path) -> None:
    found = await soak(
        tmp_path, MarketSim(7), closes=CLOSES, kills=KILLS, seed=5, script=SHORT, retrain_after=10_000, expire_hours=24
    )

    assert found.faults() == []
    assert found.killed.kills.total() == KILLS
    assert found.killed.starts == KILLS + 1
    assert found.killed.doubles.explained <= KILLS
    assert found.calm.trades > 0
    assert found.calm.decisions > found.calm.trades


def test_the_kills_of_a_seed_are_the_same_and_come_at_every_moment() -> None:
    kills = plan(200, 2880, 7)

    assert kills == plan(200, 2880, 7)
    assert kills != plan(200, 2880, 8)
    assert [kill.close for kill in kills] == sorted(kill.close for kill in kills)
    assert {kill.moment for kill in kills} == set(SHARES)


def test_a_real_candle_is_split_into_minutes_that_are_it_again() -> None:
    start = 1_772_409_600_000
    whole = MarketSim(7).candles(Pair.parse("LINK/USDT"), M15, start, start + 500 * M15.ms)
    minutes = minutes_of(whole)
    again = resampled(minutes, M15)
    five = SplitSource({whole.pair: whole}).candles(whole.pair, Timeframe.parse("5m"), start + 300_000, start + 900_000)

    assert len(minutes) == 15 * len(whole)
    for column in ("time", "open", "high", "low", "close"):
        assert np.array_equal(getattr(again, column), getattr(whole, column)), column
    assert np.allclose(again.volume, whole.volume)
    assert [int(t) - start for t in five.time] == [300_000, 600_000]
    assert not find_faults(minutes)


def _ledger(path: Path, cash: float, *keys: str) -> Path:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE account (id, cash)")
        db.execute("INSERT INTO account VALUES (1, ?)", (cash,))
        db.execute("CREATE TABLE outbox (item_id, key, attempts, chat_id, message_id, last_error, payload)")
        for number, key in enumerate(keys):
            db.execute("INSERT INTO outbox VALUES (?, ?, 0, 0, 0, '', '{}')", (number, key))
    db.close()
    return path


def test_a_difference_in_the_books_is_named_by_table_row_and_column(tmp_path: Path) -> None:
    left = _ledger(tmp_path / "left", 100.0, "started:1", "closed:1")
    right = _ledger(tmp_path / "right", 100.5, "closed:1", "started:2", "closed:2")

    assert [str(d) for d in differences(left, right)] == [
        "account [1] cash: 100.0 | 100.5",
        "outbox [closed:2] (row): missing | there",
    ]


def test_a_table_that_nobody_has_thought_of_is_no_agreement(tmp_path: Path) -> None:
    for name in ("left", "right"):
        with sqlite3.connect(tmp_path / name) as db:
            db.execute("CREATE TABLE secrets_of_tomorrow (id)")
        db.close()

    with pytest.raises(AssertionError, match="secrets_of_tomorrow"):
        differences(tmp_path / "left", tmp_path / "right")
