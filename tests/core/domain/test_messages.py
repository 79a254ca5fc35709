"""Events as they are stored: whole, and readable by what comes later."""

from __future__ import annotations

import json

from core.domain.messages import event_from_json, event_to_json
from core.domain.trading import Direction, Neighbour
from tests.fakes.desk import a_signal


def test_a_signals_reasons_and_neighbours_come_back_as_they_were() -> None:
    event = a_signal(
        ml_reasons=(("entry_adx", 31.2, 0.42), ("entry_hurst", None, -0.1), ("base", None, -0.55)),
        neighbours=(Neighbour("LINK/USDT", Direction.LONG, 1_700_000_000_000, -1.0, 0.42),),
    )

    assert event_from_json(event_to_json(event)) == event


def test_a_signal_stored_before_reasons_were_told_still_reads() -> None:
    event = a_signal()
    stored = json.loads(event_to_json(event))
    del stored["ml_reasons"], stored["neighbours"]

    assert event_from_json(json.dumps(stored)) == event
