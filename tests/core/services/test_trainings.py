"""What a restart knows of a training that was cut off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.services.trainings import Trainings
from tests.ledgers import books


async def test_a_training_that_was_cut_off_three_times_in_a_row_is_not_taken_up_again(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        trainings = Trainings(ReplayClock(datetime(2026, 11, 21, tzinfo=UTC)), kept.ledger)
        found = []
        for _ in range(3):
            with pytest.raises(asyncio.CancelledError):
                async with trainings.remembered(own=True):
                    raise asyncio.CancelledError
            last = await trainings.last()
            assert last is not None
            found.append(last.cut_off)
        assert found == [True, True, False]

        async with trainings.remembered(own=True):
            pass
        ended = await trainings.last()
        assert ended is not None
        assert (ended.open, ended.cut_off) == (0, False)
