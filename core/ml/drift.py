"""Whether what a model sees now is still what it learned from: the Population Stability Index and its own error.

Rows are not independent: pairs move together and a market keeps its mood for days. So a threshold from a book (0.1,
0.25) means nothing here; it comes from exchanging whole stretches of time between the two parts instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import DAY_MS, FloatArray, IntArray
from core.engine.ranks import mid_ranks
from core.ml.words import name_of

MIN_RECENT = 200
"""Recent rows that a look asks for."""

MIN_REFERENCE = 50
"""Rows to compare with: no model is trained on fewer."""

ERROR = 0.01
"""The chance that one look finds drift where there is none; a revocation wants two looks running."""

BINS = 10

_STRETCHES = 20  # of whole days, in the recent part: as long as leaves so many, and at least a day
_FEWEST_STRETCHES = 8
_EXCHANGES = 999
_SLOWEST = 0.9  # correlation of neighbouring stretches; beyond it the correction would be a guess
_USUAL = 0.9  # a feature's PSI is counted in units of this quantile of what exchanging does to it


@dataclass(frozen=True, slots=True)
class DriftLook:
    """What one look at ``n`` recent rows found.

    ``feature`` is the one furthest beyond what chance does to it, ``psi`` its index, ``threshold`` what the index must
    exceed: the chance that any feature exceeds its own is ``ERROR``. All three are None where nothing can be told.
    """

    n: int
    feature: str | None
    psi: float | None
    threshold: float | None
    beyond: bool
    sentence: str


def psi(expected: FloatArray, actual: FloatArray, edges: FloatArray | None = None) -> float:
    """The Population Stability Index of ``actual`` against ``expected``: the sum over bins of (a - e) ln(a / e).

    Siddiqi (2006), "Credit Risk Scorecards"; for its sampling Yurdakul and Naranjo (2020), Journal of Risk Model
    Validation 14(4). 0 is no difference. Bins end at ``edges`` (included), by default the deciles of ``expected``, its
    smallest and its largest value; a value that holds several deciles makes one edge. NaN is a bin of its own, so that
    a feature that goes missing has moved. Half a row is added to each bin, or an empty one would make it infinite.
    Raises ValueError where one of the two is empty.
    """
    if not len(expected) or not len(actual):
        raise ValueError("there is nothing to compare: one of the two is empty")
    inner = quantile_edges(expected) if edges is None else edges
    counts = [np.bincount(_bins(part, inner), minlength=len(inner) + 2) for part in (expected, actual)]
    return float(_index(counts[0].astype(np.float64), counts[1].astype(np.float64)))


def quantile_edges(values: FloatArray, bins: int = BINS) -> FloatArray:
    """Ascending values of ``values`` that end ``bins`` bins of about equal size, its smallest before them.

    NaN is left out; empty without any other value. One bin lies below the smallest and one above the largest.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.empty(0)
    inner = np.quantile(known, np.linspace(0, 1, bins + 1)[1:], method="inverted_cdf")
    # The bin below an edge holds the edge itself: one just under the smallest keeps what is smaller apart from it.
    return np.unique(np.concatenate(([np.nextafter(known.min(), -np.inf)], inner)))


def drift_look(
    reference: FloatArray, recent: FloatArray, names: Sequence[str], seed: int, *, times: tuple[IntArray, IntArray]
) -> DriftLook:
    """Compares ``recent`` [n, k] with ``reference`` [m, k], column by column; ``names`` are the k columns'.

    ``times`` are the epoch ms of the rows of both, in any order. The columns are a model's features and its predicted
    probability. Both parts are cut into stretches of whole days, as long as leaves 20 in the recent part, and the
    stretches are exchanged at random: what the largest PSI does then is what it does without drift. A column that
    outlasts its stretch must go as much further as its own persistence says. Each PSI is counted in units of what
    exchanging usually does to it, so that a slow feature hides no other, and the largest stands for all, so that many
    features do not mean many alarms. The same seed gives the same answer. Raises ValueError where shapes do not fit.
    """
    if reference.ndim != 2 or recent.ndim != 2 or not reference.shape[1] == recent.shape[1] == len(names) > 0:
        raise ValueError(f"shapes {reference.shape} and {recent.shape} do not fit {len(names)} names")
    if (len(times[0]), len(times[1])) != (len(reference), len(recent)):
        raise ValueError("each row wants its time")
    n = len(recent)
    if n < MIN_RECENT:
        return _untold(n, f"drift cannot be told yet: {n} of {MIN_RECENT} recent rows")
    if len(reference) < MIN_REFERENCE:
        return _untold(n, f"drift cannot be told: {len(reference)} rows to compare with, {MIN_REFERENCE} are needed")
    stretch = _stretches(*times)
    own = np.unique(stretch[len(reference) :])
    if len(own) < _FEWEST_STRETCHES:
        return _untold(
            n, f"drift cannot be told: {n} recent rows in {len(own)} stretches of time, {_FEWEST_STRETCHES} are needed"
        )
    rows = np.concatenate([reference, recent])
    found = _indices(rows, stretch, own, np.random.default_rng(seed))
    usual = np.quantile(found, _USUAL, axis=0)
    # A column in which exchanging changes nothing, such as a constant, has not moved either.
    ratio = np.divide(found, usual, out=np.zeros_like(found), where=usual > 0)
    allowed = float(np.sort(ratio[1:].max(axis=1))[-int(ERROR * (_EXCHANGES + 1))])
    slow = np.array([_slowness(column, stretch, int(own[0])) for column in rows.T])
    column = int((ratio[0] / slow).argmax())
    return _told(n, names[column], float(found[0, column]), allowed * float(usual[column] * slow[column]), len(names))


def confirmed(looks: Sequence[DriftLook]) -> bool:
    """Whether the last two looks both found drift; ``looks`` in the order in which they were taken."""
    return len(looks) >= 2 and looks[-1].beyond and looks[-2].beyond


def _told(n: int, feature: str, value: float, threshold: float, columns: int) -> DriftLook:
    beyond = value > threshold
    many = "" if columns == 1 else f", the furthest of {columns} columns"
    sentence = (
        f"{name_of(feature)} has {'moved' if beyond else 'not moved more than chance moves it'} on the last {n} rows: "
        f"PSI {value:.2f}, {'more than' if beyond else 'up to'} {threshold:.2f} "
        f"{'is' if beyond else 'may be'} chance{many}"
    )
    return DriftLook(n, feature, value, threshold, beyond, sentence)


def _untold(n: int, sentence: str) -> DriftLook:
    return DriftLook(n, None, None, None, False, sentence)


def _stretches(reference_ms: IntArray, recent_ms: IntArray) -> IntArray:
    """A label per row, the reference's first: stretches of whole days that lie in one of the two parts only."""
    days = [part // DAY_MS for part in (reference_ms, recent_ms)]
    length = max(1, int(days[1].max() - days[1].min() + 1) // _STRETCHES)
    labels = [np.unique((day - day.min()) // length, return_inverse=True)[1] for day in days]
    return np.concatenate([labels[0], labels[1] + labels[0].max() + 1])


def _indices(rows: FloatArray, stretch: IntArray, own: IntArray, rng: np.random.Generator) -> FloatArray:
    """[1 + exchanges, k]: the PSI of each column as it is, then with stretches exchanged.

    The bins are quantiles of all rows together, which exchanging leaves alone: so every line has the same right to be
    the real one, and counts per stretch are all that is needed.
    """
    total, wanted = int(stretch.max()) + 1, int(np.isin(stretch, own).sum())
    sizes = np.bincount(stretch, minlength=total)
    chosen = np.zeros((_EXCHANGES + 1, total))
    chosen[0, own] = 1
    for line in chosen[1:]:
        order = rng.permutation(total)
        line[order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1]] = 1
    found = np.empty((len(chosen), rows.shape[1]))
    for column in range(rows.shape[1]):
        edges = quantile_edges(rows[:, column])
        width = len(edges) + 2
        cells = np.bincount(stretch * width + _bins(rows[:, column], edges), minlength=total * width)
        counts = cells.reshape(total, width).astype(np.float64)
        counts = counts[:, counts.any(axis=0)]  # a bin that is empty in both parts always is
        taken = chosen @ counts
        found[:, column] = _index(counts.sum(axis=0) - taken, taken)
    return found


def _slowness(values: FloatArray, stretch: IntArray, first_recent: int) -> float:
    """How much wider chance is than exchanging shows, for a column in which neighbouring stretches are alike.

    ``(1 + r) / (1 - r)`` with r the correlation of neighbouring stretches' mean ranks, each part about its own mean, so
    that drift itself is not taken for persistence; corrected for its bias on few stretches (Marriott and Pope 1954).
    """
    ranks = _ranks(values)
    recent = stretch >= first_recent
    for part in (recent, ~recent):
        ranks[part] -= ranks[part].mean()
    means = np.bincount(stretch, weights=ranks) / np.bincount(stretch)
    power = float(np.square(means).mean())
    if power == 0:
        return 1.0
    neighbours = np.delete(means[1:] * means[:-1], first_recent - 1)  # the two parts do not touch
    r = float(neighbours.mean()) / power
    r = min(max(r + (1 + 3 * r) / len(means), 0.0), _SLOWEST)
    return (1 + r) / (1 - r)


def _ranks(values: FloatArray) -> FloatArray:
    """Shares of the known values below each, ties counted half; NaN in the middle."""
    ranks = np.full(len(values), 0.5)
    known = ~np.isnan(values)
    ranks[known] = (mid_ranks(values[known]) - 0.5) / max(1, int(known.sum()))
    return ranks


def _bins(values: FloatArray, edges: FloatArray) -> IntArray:
    """The bin of each value: 0 up to and with the first edge, ``len(edges)`` beyond the last, one more for NaN."""
    found = np.searchsorted(edges, values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, found).astype(np.int64)


def _index(expected: FloatArray, actual: FloatArray) -> FloatArray:
    """The PSI of counts per bin, over the last axis."""
    e, a = expected + 0.5, actual + 0.5
    e, a = e / e.sum(axis=-1, keepdims=True), a / a.sum(axis=-1, keepdims=True)
    return np.asarray(((a - e) * np.log(a / e)).sum(axis=-1), dtype=np.float64)
