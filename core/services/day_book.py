"""What the ledger holds of one UTC day and of the days its trades began in, and what only the running loop has seen.

All times are epoch ms; those of candles are open times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import ValidationError

from core.config import CandleSettings, Settings, Strategy
from core.domain.candles import DAY_MS, Candles, Pair
from core.domain.ledger import DecisionRecord
from core.domain.trading import Levels
from core.ports import Ledger, TradeRow

WITNESS = "parity:seen"
"""The mark that holds a ``Witness``."""

Rules = Mapping[str, Any]
"""The settings that a backtest of signals goes by, in JSON's types."""

_RULES = ("strategy", "candles", "fills")


@dataclass(frozen=True, slots=True)
class Witness:
    """What a ledger does not keep and a restart would forget.

    ``since``: each pair's first candle that was handled; ``holes``: the (first, last) candles that never came, as the
    loop saw it: they may have been fetched later. ``rules``: what was in force from a time on, oldest first.
    """

    since: Mapping[str, int] = field(default_factory=dict)
    holes: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    rules: Sequence[tuple[int, Rules]] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> Witness:
        if text is None:
            return cls()
        found = json.loads(text)
        return cls(found["since"], found["holes"], tuple((at, rules) for at, rules in found["rules"]))


def rules_in(settings: Settings) -> Rules:
    return settings.model_dump(mode="json", include=set(_RULES))


def with_rules(settings: Settings, rules: Rules) -> Settings:
    """The settings with these rules; as they are, where another version of the program wrote what none has now."""
    try:
        strategy, candles = (
            Strategy.model_validate(rules["strategy"]),
            CandleSettings.model_validate(rules["candles"]),
        )
    except ValidationError:
        return settings
    return settings.model_copy(update={"strategy": strategy, "candles": candles, "fills": rules["fills"]})


@dataclass(frozen=True, eq=False)
class DayBook:
    """The ledger's side. ``start``: how far back it reaches; ``rows``: the signals among ``decisions`` as followed.

    ``began``: the first candle the ledger knows; ``cursors``: each pair's newest candle of which the entries are done.
    """

    day: int  # its 00:00 UTC
    start: int
    frame_ms: int
    began: int
    decisions: tuple[DecisionRecord, ...]
    rows: tuple[TradeRow, ...]
    cursors: Mapping[Pair, int]
    witness: Witness

    @property
    def end(self) -> int:
        return self.day + DAY_MS

    @property
    def known_until(self) -> int:
        """The close of the newest candle that any pair has handled."""
        return max(self.cursors.values(), default=self.day - self.frame_ms) + self.frame_ms

    @property
    def levels(self) -> dict[int, Levels]:
        """Of each signal, by its decision."""
        return {row.decision.decision_id: row.follow.follow.levels for row in self.rows}

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those with a signal here, sorted."""
        return tuple(sorted({row.decision.pair for row in self.rows}))

    def handled(self, pair: Pair) -> int:
        return self.cursors.get(pair, -1)

    def since(self, pair: Pair) -> int:
        """The first candle that the loop has looked at."""
        return max(self.began, self.witness.since.get(str(pair), 0))

    def chain_start(self, pair: Pair) -> int:
        """A candle to begin a pair's cooldown at: its first signal here before the day, else as early as is known."""
        signals = [d.open_time for d in self.decisions if d.pair == pair and d.is_signal and d.open_time < self.day]
        return min(signals, default=max(self.start, self.since(pair)))

    def known_of(self, candles: Candles) -> Candles | None:
        """Without those the loop never had; None where it had them all."""
        kept = np.ones(len(candles), dtype=np.bool_)
        for first, last in self.witness.holes.get(str(candles.pair), ()):
            kept &= (candles.time < first) | (candles.time > last)
        if kept.all():
            return None
        columns = ("time", "open", "high", "low", "close", "volume")
        return Candles(candles.pair, candles.timeframe, *(getattr(candles, name)[kept] for name in columns))

    def rules_of(self, settings: Settings) -> Settings:
        """As they were at the day's end; ``settings`` are those in force now."""
        known = [rules for at, rules in self.witness.rules if at < self.end]
        return with_rules(settings, known[-1]) if known else settings

    def rules_before(self, settings: Settings) -> list[Settings]:
        """The others that were in force from ``start`` to the day's end."""
        today, found = self.rules_of(settings), []
        times = [at for at, _ in self.witness.rules]
        for (at, rules), until in zip(self.witness.rules, [*times[1:], self.end], strict=False):
            other = with_rules(settings, rules)
            if at < self.end and until > self.start and other != today and other not in found:
                found.append(other)
        return found


async def read_day(ledger: Ledger, settings: Settings, day: int) -> DayBook | None:
    """The book of the UTC day that begins at ``day``; None where the ledger has no candle of it."""
    frame_ms = settings.frame.ms
    curve = await ledger.equity_curve()
    if not curve or curve[0][0] > day + DAY_MS or curve[-1][0] <= day:
        return None
    start = day - max(2 * settings.strategy.max_bars * frame_ms, DAY_MS)
    decisions = [d for d in await ledger.decisions(start) if d.open_time < day + DAY_MS]
    rows = [await ledger.row_of(d.decision_id) for d in decisions if d.is_signal]
    return DayBook(
        day=day,
        start=start,
        frame_ms=frame_ms,
        began=curve[0][0] - frame_ms,
        decisions=tuple(decisions),
        rows=tuple(row for row in rows if row is not None),
        cursors=(await ledger.load()).cursors["entries"],
        witness=Witness.from_json(await ledger.mark(WITNESS)),
    )
