"""A sweep as it is planned: its windows, its chunks, and a name that changes with whatever could change a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from core import __version__
from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, Timeframe, iso
from core.errors import UsageError
from core.services.sweep.grid import Grid, Setting

Kind = Literal["is", "oos"]

KINDS: tuple[Kind, ...] = ("is", "oos")
"""In-sample and out-of-sample, in the order in which they follow each other."""

FORMAT = 1
"""Changes when what is computed or stored changes: an older sweep is then another sweep."""

_SMALLEST_CHUNK = 20  # settings; a chunk costs a second or two, which is what a kill can lose
_MOST_CHUNKS = 500


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a window. Signals belong to it by entry time, ``[start_ms, end_ms)``, epoch ms, UTC."""

    window: int
    kind: Kind
    start_ms: int
    end_ms: int

    @property
    def first_day(self) -> int:
        """UTC days since 1970."""
        return self.start_ms // DAY_MS

    @property
    def days(self) -> int:
        """How many UTC days it touches."""
        return (self.end_ms - 1) // DAY_MS - self.first_day + 1


def walk_forward(start_ms: int, end_ms: int, windows: int, train_share: float, longest_ms: int) -> tuple[Segment, ...]:
    """``windows`` windows one after the other, each an in-sample part and the out-of-sample part behind it.

    No two parts overlap, so what was seen in-sample is never judged again. Parts begin at 00:00 UTC, so that no day
    counts in two. ``longest_ms`` is how long a trade may last: a part must be longer, or nothing could close in it.
    Raises UsageError.
    """
    span = (end_ms - start_ms) / windows
    edges = [start_ms]
    for window in range(windows):
        edges.append(_midnight(start_ms + (window + train_share) * span))
        edges.append(_midnight(start_ms + (window + 1) * span) if window + 1 < windows else end_ms)
    segments = tuple(
        Segment(index // 2, KINDS[index % 2], edges[index], edges[index + 1]) for index in range(2 * windows)
    )
    if short := next((s for s in segments if s.end_ms - s.start_ms <= longest_ms), None):
        part = "in-sample" if short.kind == "is" else "out-of-sample"
        days = max(short.end_ms - short.start_ms, 0) / DAY_MS
        raise UsageError(
            f"{windows} windows leave {days:.1f} days for an {part} part, and a trade may last "
            f"{longest_ms / DAY_MS:.1f}; take fewer --windows or more candles"
        )
    return segments


def _midnight(ms: float) -> int:
    return round(ms / DAY_MS) * DAY_MS


@dataclass(frozen=True)
class Ground:
    """What every chunk has in common; ``key`` names it in a worker's memory."""

    key: str
    pairs: tuple[Pair, ...]
    timeframe: Timeframe
    segments: tuple[Segment, ...]
    max_gap: int

    @property
    def end_ms(self) -> int:
        return self.segments[-1].end_ms


@dataclass(frozen=True)
class Chunk:
    """Settings that are worked off together and kept in one part file."""

    number: int
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Sweep:
    """The plan of a sweep: everything that its result depends on, and nothing else."""

    sweep_id: str
    grid: Grid
    ground: Ground
    base: Settings = field(repr=False)
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def settings(self) -> tuple[Setting, ...]:
        return self.grid.settings

    def chunks(self) -> tuple[Chunk, ...]:
        """The same cut whoever works it off, so that parts of one run serve the next."""
        size = max(_SMALLEST_CHUNK, -(-len(self.settings) // _MOST_CHUNKS))
        starts = range(0, len(self.settings), size)
        return tuple(Chunk(number, self.settings[at : at + size]) for number, at in enumerate(starts))

    @property
    def configured(self) -> int | None:
        """The number of the setting that is configured now; None where the grid does not hold it."""
        own = (self.base.strategy, self.base.fills, self.base.paper.fee_rate, self.base.paper.slippage_rate)
        return next(
            (s.number for s in self.settings if (s.strategy, s.fills, s.fee_rate, s.slippage_rate) == own), None
        )


def plan_sweep(
    grid: Grid,
    base: Settings,
    candles: Mapping[Pair, Candles],
    start_ms: int,
    end_ms: int,
    *,
    windows: int = 4,
    train_share: float = 0.7,
) -> Sweep:
    """The sweep of ``grid`` over the candles in ``[start_ms, end_ms)``; earlier ones warm the indicators up.

    Raises UsageError where the windows are too short.
    """
    timeframe = next(iter(candles.values())).timeframe
    longest = max(s.strategy.max_bars for s in grid.settings) * timeframe.ms
    segments = walk_forward(start_ms, end_ms, windows, train_share, longest)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "julaba": __version__,
        "code": rules_code(),
        "timeframe": timeframe.name,
        "max_gap": base.candles.max_gap,
        "candles": {str(pair): _content(c.between(None, end_ms)) for pair, c in candles.items()},
        "segments": [
            {"window": s.window + 1, "segment": s.kind, "from": iso(s.start_ms), "to": iso(s.end_ms)} for s in segments
        ],
        "keys": list(grid.keys),
        "fixed": {
            "strategy": {k: v for k, v in base.strategy.model_dump(mode="json").items() if k not in grid.keys},
            **{k: v for k, v in _costs(base).items() if k not in grid.keys},
        },
        "settings": [list(setting.values) for setting in grid.settings],
    }
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    sweep_id = hashlib.sha256(text.encode()).hexdigest()[:12]
    ground = Ground(sweep_id, tuple(candles), timeframe, segments, base.candles.max_gap)
    return Sweep(sweep_id, grid, ground, base, {"id": sweep_id, **manifest})


@cache
def rules_code() -> str:
    """A hash of the rules as they are written: with other rules it is another sweep, whatever the version says."""
    import core.engine

    digest = hashlib.blake2b(digest_size=16)
    for path in (*sorted(Path(core.engine.__file__).parent.glob("*.py")), Path(__file__).with_name("evaluate.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _costs(base: Settings) -> dict[str, Any]:
    return {
        "fills": base.fills,
        "paper.fee_rate": base.paper.fee_rate,
        "paper.slippage_rate": base.paper.slippage_rate,
    }


def _content(candles: Candles) -> str:
    """A hash of every value of the candles."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("time", "open", "high", "low", "close", "volume"):
        digest.update(getattr(candles, name).tobytes())
    return digest.hexdigest()
