"""What may be asked of the past, and how the answer is kept: the words of ``core.engine.what_if_run``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.domain.candles import Pair, Timeframe
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import Follow, Verdict

Skip = Literal["gemini", "alignment", "btc"]
Unknown = Literal["", "gemini", "person", "candles"]

RULE_OF: Mapping[str, tuple[str, ...]] = {
    "adx_min": ("adx",),
    "rsi_long_max": ("rsi",),
    "rsi_short_min": ("rsi",),
    "volume_ratio_min": ("volume",),
    "cooldown_bars": ("cooldown",),
}
SIGNAL_RULES = tuple(RULE_OF)
"""Numbers of the strategy that choose the signals among the candidates."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked; None and empty: as it was. ``strategy`` holds numbers of ``SIGNAL_RULES``.

    ``weight`` counts as it is, without the ramp; 0 leaves the model out. ``pairs``: switched on or off throughout.
    """

    stop_atr: float | None = None
    max_bars: int | None = None
    breakeven: bool | None = None
    weight: float | None = None
    skip: frozenset[Skip] = frozenset()
    pairs: Mapping[Pair, bool] = field(default_factory=dict)
    strategy: Mapping[str, float] = field(default_factory=dict)
    max_positions: int | None = None

    @property
    def exits(self) -> bool:
        return self.stop_atr is not None or self.max_bars is not None or self.breakeven is not None


NOTHING = Change()


@dataclass(frozen=True, slots=True)
class Past:
    """A candidate of the ledger with what became of it."""

    decision: DecisionRecord
    record: FollowRecord

    @property
    def close_time(self) -> int:
        """Its candle's close, epoch ms."""
        return self.decision.open_time + Timeframe.parse(self.decision.timeframe).ms

    def verdict(self, layer: str, rule: str) -> Verdict | None:
        return next((v for v in self.decision.verdicts if v.layer == layer and v.rule == rule), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A signal as this account decided it. ``reason``: why it was not taken.

    ``r_net`` of the follow, taken or not, None while it is open; ``pnl`` (USDT, net) and ``risk`` of one that was
    taken. ``unknown``: what would have to be known to decide it.
    """

    past: Past
    taken: bool
    reason: str
    follow: Follow
    r_net: float | None
    risk: float = 0.0
    pnl: float | None = None
    unknown: Unknown = ""


@dataclass(slots=True)
class Calibration:
    """What the run with nothing changed has found, for the runs that are compared with it.

    ``risk``: by decision, how the size then relates to the one that today's settings give; ``resumed``: decisions
    before which a person had lifted the drawdown pause.
    """

    risk: dict[int, float] = field(default_factory=dict)
    resumed: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Run:
    """``entries`` in the order of the decisions. ``guessed``: signals whose correlations could not be told anew.

    ``no_model``: signals without a stored prediction, on which a weight counts nothing. ``paused_since``: the close
    (epoch ms) from which on the drawdown limit kept everything out.
    """

    entries: tuple[Entry, ...]
    guessed: int
    no_model: int
    paused_since: int | None
    calibration: Calibration
