"""Quarantine: four closes of patience, then pauses that grow to an hour; one candle ends it."""

from __future__ import annotations

import pytest

from core.domain.candles import Pair
from core.services.quarantine import LONGEST_MS, PATIENT_FOR, Quarantine

LINK, ETH = Pair.parse("LINK"), Pair.parse("ETH")
MINUTE = 60_000


def asked(frame: int, closes: int) -> list[int]:
    """The closes (by number) at which a pair that never answers is asked."""
    quarantine, found = Quarantine(frame), []
    for close in range(closes):
        if quarantine.due([LINK], close * frame):
            found.append(close)
            quarantine.failed(LINK, close * frame, "no answer")
    return found


@pytest.mark.parametrize(
    ("frame", "closes", "when"),
    [
        (15 * MINUTE, 18, [0, 1, 2, 3, 5, 9, 13, 17]),
        (60 * MINUTE, 6, [0, 1, 2, 3, 4, 5]),
        (MINUTE, 70, [0, 1, 2, 3, 5, 9, 17, 33, 65]),
    ],
)
def test_a_pair_that_never_answers_is_asked_less_and_less_and_at_least_once_an_hour(
    frame: int, closes: int, when: list[int]
) -> None:
    assert asked(frame, closes) == when
    late = asked(MINUTE, 600)[-2:]
    assert (late[1] - late[0]) * MINUTE == LONGEST_MS


def test_it_begins_with_the_fourth_close_and_ends_with_one_candle() -> None:
    quarantine = Quarantine(15 * MINUTE)
    for close in range(PATIENT_FOR):
        assert LINK not in quarantine
        quarantine.failed(LINK, close, "the exchange answered HTTP 503")

    assert quarantine.pairs == {LINK: "the exchange answered HTTP 503"}
    assert quarantine.due([LINK, ETH], 0) == [ETH]
    quarantine.well(LINK)
    assert LINK not in quarantine
    assert quarantine.due([LINK, ETH], 0) == [ETH, LINK]
