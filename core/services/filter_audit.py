"""The audit of the filters on stored candles, with what the regime rule says of random walks beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe
from core.engine.audit import audit_part
from core.engine.random_walks import RandomWalks, random_walks
from core.errors import DataError
from core.ml.audit import Audit, audit
from core.ports import CandleStore


@dataclass(frozen=True, slots=True)
class FilterReport:
    """What ``julaba check filters`` and the chat show. ``notes`` are sentences about what could not be known."""

    audit: Audit
    walks: RandomWalks
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        walks = asdict(self.walks) | {"sentence": self.walks.sentence}
        return self.audit.data() | {"random_walks": walks, "notes": list(self.notes)}


def filter_report(
    candles: Mapping[Pair, Candles],
    store: CandleStore,
    settings: Settings,
    start_ms: int | None,
    end_ms: int | None,
    seed: int,
    progress: Callable[[int], object] = lambda done: None,
) -> FilterReport:
    """The audit of these pairs in ``[start_ms, end_ms)``; None as a bound: as far as there are candles.

    ``candles`` reach back as far as there are some. BTC and the timeframes below the candles' own are read from
    ``store``. ``progress`` hears of each candidate. Raises DataError where no candidate has an outcome.
    """
    frame = next(iter(candles.values())).timeframe
    first = start_ms if start_ms is not None else min(int(c.time[0]) for c in candles.values())
    last = end_ms if end_ms is not None else max(int(c.time[-1]) + frame.ms for c in candles.values())
    btc = store.load(settings.btc, frame, None, end_ms)
    lower = {pair: _lower(store, pair, frame, settings.rules.alignment_timeframes, first, end_ms) for pair in candles}
    parts = [
        audit_part(window, btc if len(btc) else None, lower[pair], settings, start_ms, end_ms, progress)
        for pair, window in candles.items()
    ]
    if not any(part.sample.any() for part in parts):
        raise DataError(
            f"no crossover of {', '.join(map(str, candles))} has an outcome in this range; take a longer one"
        )
    notes = [*_lower_notes(lower, frame, settings.rules.alignment_timeframes)]
    if not len(btc):
        notes.append(f"No {frame.name} candles of {settings.btc} are stored: the BTC check cannot tell and lets pass.")
    return FilterReport(audit(parts, settings, first, last), random_walks(seed), tuple(notes))


def _lower(
    store: CandleStore, pair: Pair, frame: Timeframe, names: Sequence[str], start_ms: int, end_ms: int | None
) -> dict[str, Candles]:
    below = [found for found in map(Timeframe.parse, names) if found.minutes < frame.minutes]
    loaded = {found.name: store.load(pair, found, start_ms - 100 * found.ms, end_ms) for found in below}
    return {name: window for name, window in loaded.items() if len(window)}


def _lower_notes(lower: Mapping[Pair, Mapping[str, Candles]], frame: Timeframe, names: Sequence[str]) -> list[str]:
    notes = []
    for name in names:
        without = [str(pair) for pair, found in lower.items() if name not in found]
        if Timeframe.parse(name).minutes < frame.minutes and without:
            who = "any pair" if len(without) == len(lower) else ", ".join(without)
            rest = ", ".join(n for n in names if n != name) or "nothing"
            notes.append(f"No {name} candles of {who} are stored: there the alignment is that of {rest} alone.")
    return notes
