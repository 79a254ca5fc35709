"""Trades that wait for a person's yes (``mode: advisory``): what is asked, and whether a yes can still count. Pure.

A signal that every layer lets pass is followed as a shadow while its card waits, so nothing depends on when somebody
looks at a phone. A yes turns that shadow into the trade: the plan's stop and targets stand, the fill is at the price of
the yes, and never more is bought than was shown, nor more risked (``core.engine.answered``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candle, Pair, to_ms
from core.domain.ledger import Asked, FollowRecord
from core.domain.messages import SignalDecided, event_from_json, event_to_json
from core.domain.trading import Direction, Levels, Ruling
from core.engine.filters import Facts
from core.engine.sizing import portfolio_verdicts

UNANSWERED = "nobody answered in time"
"""Why a trade is refused whose card has expired."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a card's body holds: the signal as it was decided, its follow, and how the pair moves with the others."""

    signal: SignalDecided
    follow_id: int
    correlations: Mapping[Pair, float | None]

    def to_json(self) -> str:
        known = {str(pair): value for pair, value in self.correlations.items()}
        return json.dumps(
            {"signal": json.loads(event_to_json(self.signal)), "follow": self.follow_id, "correlations": known}
        )

    @classmethod
    def from_json(cls, body: str) -> Waiting:
        found: dict[str, Any] = json.loads(body)
        signal = event_from_json(json.dumps(found["signal"]))
        assert isinstance(signal, SignalDecided)
        return cls(signal, found["follow"], {Pair.parse(k): v for k, v in found["correlations"].items()})


def question(signal: SignalDecided, record: FollowRecord, facts: Facts, settings: Settings) -> Asked:
    """The card of a signal that waits; it expires with the next candle's close."""
    asked_at = to_ms(signal.time)
    targets = " / ".join(f"{target:g}" for target in signal.targets)
    lines = (
        f"Stop {signal.stop:g}, targets {targets}.",
        f"{signal.quantity:.6g} {record.pair.base}, {signal.risk_amount:,.2f} USDT at risk.",
        "A yes buys at the price of that moment, if it still lies between the stop and the first target.",
    )
    return Asked(
        time=asked_at,
        title=f"Trade {record.pair.base} {signal.direction} at {signal.entry:g}?",
        lines=lines,
        body=Waiting(signal, record.follow_id, facts.correlations).to_json(),
        expires_at=asked_at + settings.frame.ms,
    )


def has_left(levels: Levels, since: int, minutes: Sequence[Candle], price: float) -> str:
    """Why the plan is over: the stop or the first target was reached since the signal's close ``since`` (epoch ms).

    ``minutes``: the 1m candles from then on, as far as they can be had; ``price``: the last one. Empty: it stands.
    """
    after = [m for m in minutes if m.open_time >= since]
    low, high = min([price, *(m.low for m in after)]), max([price, *(m.high for m in after)])
    long = levels.direction is Direction.LONG
    if (low <= levels.stop) if long else (high >= levels.stop):
        return f"the price has reached the stop {levels.stop:g} since"
    if (high >= levels.targets[0]) if long else (low <= levels.targets[0]):
        return f"the price has reached the first target {levels.targets[0]:g} since"
    return ""


@dataclass(frozen=True, slots=True)
class _Side:
    pair: Pair
    direction: Direction


def refusal(waiting: Waiting, account: Account, paused: str, enabled: bool, at: int, settings: Settings) -> str:
    """The limit that stands in the way now; empty where none does. ``at``: epoch ms."""
    side = _Side(Pair.parse(waiting.signal.pair), waiting.signal.direction)
    limits = settings.portfolio
    verdicts = portfolio_verdicts(side, account, limits, waiting.correlations, paused, enabled, at)
    return next((v.sentence for v in verdicts if v.ruling is Ruling.REFUSE), "")
