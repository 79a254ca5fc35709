"""What the model would say of a pair now, were it to cross: the last closed candle, taken as a long and as a short."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from core.config import Settings
from core.domain.candles import Pair, to_datetime
from core.domain.trading import Direction, ModelOpinion, Neighbour
from core.errors import UsageError
from core.ml.features import features_of
from core.ml.prediction import average, percentile_of
from core.ml.surroundings import scene_of
from core.ml.words import Line, base_of, lines, probability_of
from core.ports import Predictor
from core.services.memory import Memory


@dataclass(frozen=True, slots=True)
class Side:
    """The model's word on one direction. ``average`` of its last predictions, None before it has made any; ``start``
    the probability before any feature has spoken, ``lines`` what moved it from there, the strongest first."""

    direction: Direction
    probability: float
    average: float | None
    rank: float | None
    start: float | None
    lines: tuple[Line, ...]
    neighbours: tuple[Neighbour, ...]

    @property
    def opinion(self) -> ModelOpinion:
        """HIGH, MEDIUM or LOW, TAKE or SKIP, as of a signal."""
        return ModelOpinion("", self.probability, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PredictView:
    """``at`` is the close of the candle looked at. ``sides`` is empty where no model speaks, and ``note`` says why.

    ``crossed``: the direction of a crossover at this very candle, which has been decided by now.
    """

    pair: str
    at: datetime
    price: float
    crossed: Direction | None
    model_id: str | None
    sides: tuple[Side, ...]
    note: str = ""


async def predict_now(pair: Pair, memory: Memory, predictor: Predictor | None, settings: Settings) -> PredictView:
    """Both directions at the pair's last close. Changes nothing: neither is stored, nor ranked among the others later.

    Raises UsageError where there are no candles yet.
    """
    history = memory.histories.get(pair)
    snapshot = history.tracker.snapshot() if history is not None else None
    if history is None or snapshot is None:
        raise UsageError(f"there are no candles of {pair} yet")
    close = snapshot.open_time + history.candles.timeframe.ms
    crossed = history.tracker.candidate(None, settings.strategy)
    view = PredictView(
        str(pair), to_datetime(close), snapshot.close, crossed.direction if crossed else None, None, (), "no model"
    )
    if predictor is None:
        return view
    scene = scene_of([h.candles.between(None, close) for h in memory.histories.values()], settings.traded, settings)
    sides: list[Side] = []
    for direction in Direction:
        features = features_of(snapshot, history.candles, direction, scene)
        found = await predictor.predict(features, direction, close)
        if isinstance(found, str):
            return replace(view, note=found)
        recent = memory.recent if found.model_id == memory.recent_model else []
        base = base_of(found.contributions)
        sides.append(
            Side(
                direction,
                found.probability,
                average(recent),
                percentile_of(found.probability, recent) if recent else None,
                None if base is None else probability_of(base),
                lines(found.contributions),
                found.neighbours,
            )
        )
        view = replace(view, model_id=found.model_id)
    return replace(view, sides=tuple(sides), note="")
