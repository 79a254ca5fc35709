"""Rounds of upkeep: each part alone, a failing one tried again at ever longer distances and told of once."""

from __future__ import annotations

import logging

import pytest

from core.errors import ModelError
from core.services.upkeep import MOST_SKIPPED, Rounds


class Part:
    def __init__(self) -> None:
        self.calls: list[int] = []
        self.round = 0
        self.trouble: Exception | None = None

    async def __call__(self) -> None:
        self.calls.append(self.round)
        if self.trouble is not None:
            raise self.trouble


async def go(rounds: Rounds, count: int, *parts: Part) -> None:
    for _ in range(count):
        for part in parts:
            part.round += 1
        await rounds(parts)


async def test_a_part_that_fails_is_tried_ever_less_often_and_keeps_no_other_from_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound, rounds = Part(), Part(), Rounds()
    broken.trouble = RuntimeError("no such table")
    with caplog.at_level(logging.WARNING):
        await go(rounds, 100, broken, sound)

    assert broken.calls == [1, 2, 5, 12, 27, 58, 89]
    assert sound.calls == list(range(1, 101))
    assert broken.calls[-1] - broken.calls[-2] == MOST_SKIPPED + 1
    assert len(caplog.records) == 1


async def test_a_part_that_works_again_takes_every_turn_and_its_next_fault_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    part, rounds = Part(), Rounds()
    part.trouble = ModelError("the disk is full")
    with caplog.at_level(logging.WARNING):
        await go(rounds, 2, part)
        part.trouble = None
        await go(rounds, 5, part)
        part.trouble = ModelError("the disk is full")
        await go(rounds, 1, part)

    assert part.calls == [1, 2, 5, 6, 7, 8]
    assert [r.message for r in caplog.records] == ["upkeep: the disk is full"] * 2
