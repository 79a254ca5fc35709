"""What a change would have been worth: the same signals decided twice, side by side, with how sure that is. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.engine.what_if import Entry, Run
from core.ml.differences import mean_interval
from core.ml.intervals import MIN_DF, bundles, clusterings

ERROR = 0.05
"""Of the interval that is shown."""

_NO_CHANGE = 1e-9


@dataclass(frozen=True, slots=True)
class Side:
    """What one way of deciding took. ``r_net`` and ``pnl`` (USDT, net) are of the ``closed`` ones."""

    taken: int
    closed: int
    r_net: float
    pnl: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A signal that the two decide differently; ``before`` None: it was no signal then."""

    before: Entry | None
    after: Entry


@dataclass(frozen=True, slots=True)
class Comparison:
    """``moved``: taken both ways with another result. ``difference`` in net R, with less without, over the ``compared``
    signals that are closed both ways; ``interval`` (95%, clustered by UTC day) None where ``apart`` of them on too few
    days differ. ``unknown``: signals that could not be decided, by what is not known.
    """

    before: Side
    after: Side
    flips: tuple[Flip, ...]
    moved: int
    difference: float
    interval: tuple[float, float] | None
    compared: int
    apart: int
    unknown: Mapping[str, int]


def compare(before: Run, after: Run) -> Comparison:
    """The runs over the same past, ``before`` with nothing changed."""
    was = {entry.past.record.follow_id: entry for entry in before.entries}
    both = [(was.get(entry.past.record.follow_id), entry) for entry in after.entries]
    difference, interval, compared, apart = _difference(both)
    return Comparison(
        before=_side(before.entries),
        after=_side(after.entries),
        flips=tuple(Flip(b, a) for b, a in both if a.taken != (b is not None and b.taken)),
        moved=sum(b is not None and a.taken and b.taken and a.r_net != b.r_net for b, a in both),
        difference=difference,
        interval=interval,
        compared=compared,
        apart=apart,
        unknown=Counter(a.unknown for _, a in both if a.unknown),
    )


def _side(entries: Sequence[Entry]) -> Side:
    taken = [e for e in entries if e.taken]
    closed = [e for e in taken if e.r_net is not None]
    return Side(
        taken=len(taken),
        closed=len(closed),
        r_net=math.fsum(e.r_net or 0.0 for e in closed),
        pnl=math.fsum(e.pnl or 0.0 for e in closed),
    )


def _difference(
    both: Sequence[tuple[Entry | None, Entry]],
) -> tuple[float, tuple[float, float] | None, int, int]:
    """The summed difference in R with its interval, over how many signals, and how many of these differ."""
    known = [(b, a) for b, a in both if _known(b) and _known(a)]
    if not known:
        return 0.0, None, 0, 0
    made = np.array([_made(a) - _made(b) for b, a in known], dtype=np.float64)
    decided = np.array([a.past.close_time for _, a in known], dtype=np.int64)
    ended = np.array([max(_end(a), _end(b)) for b, a in known], dtype=np.int64)
    clusters, apart = clusterings(decided, ended), np.abs(made) > _NO_CHANGE
    found = mean_interval(made, clusters, ERROR)
    # A few signals that differ, on a day or two, say nothing of the next: no interval from so little would hold.
    if found is None or not apart.any() or min(bundles(c[apart])[2] for c in clusters) < MIN_DF:
        return math.fsum(made), None, len(known), int(apart.sum())
    low, high = (bound * len(known) for bound in found)
    return math.fsum(made), (low, high), len(known), int(apart.sum())


def _known(entry: Entry | None) -> bool:
    return entry is None or not entry.taken or entry.r_net is not None


def _made(entry: Entry | None) -> float:
    return entry.r_net or 0.0 if entry is not None and entry.taken else 0.0


def _end(entry: Entry | None) -> int:
    """When the outcome was known; the follow of one that was not taken counts too, for it could have been."""
    if entry is None:
        return 0
    return entry.past.close_time if entry.follow.exit_time is None else entry.follow.exit_time
