"""One at a time, as the live loop works: a candle with its indicators and filters, and a prediction."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np

from core.config import Ml, Settings
from core.engine.history import History
from core.ml.dataset import from_table
from core.ml.features import FEATURES_V1
from core.ml.manifest import describe
from core.ml.prediction import Champion
from core.ml.training import train
from tests.bench.measure import RUNS, Line
from tests.core.ml.planted import table
from tests.markets import walk

KEPT, NEW = 500, 2000


def candle() -> Iterator[Line]:
    """What the live loop does at a close: every indicator moved on and read, the candidate with its verdicts if any.

    Every 384 candles a history begins anew (a millisecond); the mean has its share of it.
    """
    settings, candles = Settings(), walk(KEPT + NEW, 3)
    newer = list(candles.rows(KEPT, None))
    every: list[float] = []
    crossing: list[float] = []
    means: list[float] = []
    for _ in range(2 * RUNS):
        history = History(candles.rows(0, KEPT), settings.candles.history, settings.candles.max_gap)
        history.tracker  # noqa: B018 - worked out before the first candle comes
        started = time.process_time()
        for one in newer:
            began = time.perf_counter()
            history.append(one)
            tracker = history.tracker
            tracker.snapshot()
            found = tracker.candidate(None, settings.strategy)
            taken = time.perf_counter() - began
            every.append(taken)
            if found is not None:
                crossing.append(taken)
        means.append((time.process_time() - started) / NEW)
    yield Line(
        part="candle",
        what="one live candle of a pair: indicators, candidate, filters",
        ours=statistics.median(means) * 1e6,
        unit="us",
        goal="ours",
        must=100,
        aim=20,
        note=f"processor time, mean over {NEW} candles with their share of new beginnings, one in 384; "
        f"by the clock {_spread(every)}, at a crossover {np.median(crossing) * 1e6:.0f} us",
    )


def prediction() -> Iterator[Line]:
    """Features by name in, a probability out, in the process that has the champion in memory."""
    champion = _champion()
    asked = [dict(zip(FEATURES_V1, row.tolist(), strict=True)) for row in from_table(table(200, seed=5)).X]
    alone, reasoned = [], []
    for features in asked * RUNS:
        began = time.perf_counter()
        champion.probability(features)
        middle = time.perf_counter()
        champion.predict(features)
        alone.append(middle - began)
        reasoned.append(time.perf_counter() - middle)
    yield Line(
        part="prediction",
        what="one prediction",
        ours=float(np.median(alone)) * 1e6,
        unit="us",
        goal="ours",
        must=120,
        note=_spread(alone),
    )
    yield Line(
        part="prediction",
        what="one prediction with its reasons (every feature's contribution)",
        ours=float(np.median(reasoned)) * 1e6,
        unit="us",
        note=_spread(reasoned),
    )


def _champion() -> Champion:
    model = train(from_table(table(400, effect=1.5)), Ml(), 2 * 10**12)
    manifest = describe(
        model,
        hashlib.sha256(model.payload).hexdigest(),
        label="gross",
        sources={"backtest": 400},
        metrics={},
        version="0",
        created="2026-01-01T00:00:00Z",
        trained_until=0,
        parent=None,
        line=model.model_id,
    )
    return Champion.of(model.payload, manifest)


def _spread(taken: Sequence[float]) -> str:
    middle, most = (float(np.quantile(taken, q)) * 1e6 for q in (0.5, 0.95))
    return f"median {middle:.0f}, 95% within {most:.0f} us"
