"""Pairs whose candles stay away: asked at every close at first, then now and then, at most once an hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.domain.candles import Pair

PATIENT_FOR = 4  # closes in a row without a candle, each asked for again and again; then the pair is quarantined
LONGEST_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Held:
    """A failing pair: at how many closes in a row, why, and from when on it is asked again (epoch ms)."""

    failures: int
    reason: str
    next_at: int

    @property
    def quarantined(self) -> bool:
        return self.failures >= PATIENT_FOR


class Quarantine:
    """What failing pairs cost the others: nothing. ``failed`` and ``well`` are told once a close."""

    def __init__(self, frame_ms: int) -> None:
        self._frame_ms = frame_ms
        self._held: dict[Pair, Held] = {}

    def failed(self, pair: Pair, close: int, reason: str) -> None:
        """No candle of this pair by the end of the close's asking, while other pairs had theirs."""
        failures = self._held[pair].failures + 1 if pair in self._held else 1
        beyond = max(0, failures - PATIENT_FOR)
        pause = self._frame_ms if failures < PATIENT_FOR else min(2 ** min(beyond, 12) * 2 * self._frame_ms, LONGEST_MS)
        self._held[pair] = Held(failures, reason, close + max(pause, self._frame_ms))

    def well(self, pair: Pair) -> None:
        """Its candles came, or it is not watched any more."""
        self._held.pop(pair, None)

    def __contains__(self, pair: Pair) -> bool:
        """Whether a pair is quarantined; one that has failed only now is not yet."""
        return pair in self._held and self._held[pair].quarantined

    @property
    def pairs(self) -> dict[Pair, str]:
        """The quarantined pairs and why."""
        return {pair: held.reason for pair, held in sorted(self._held.items()) if held.quarantined}

    def due(self, pairs: Iterable[Pair], close: int) -> list[Pair]:
        """Those of ``pairs`` that may be asked at this close, sorted."""
        return sorted(p for p in pairs if p not in self._held or self._held[p].next_at <= close)
