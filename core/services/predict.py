"""The champion's opinion on a candidate, asked in the worker process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.domain.trading import Direction
from core.errors import JulabaError, ModelError
from core.ml.neighbours import SAMPLES, PastSignals
from core.ml.prediction import Champion
from core.ml.sizing_model import SIZING, Sizer, SizingModel
from core.ports import Prediction
from core.services.train import Models
from core.services.worker import Worker

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A champion with the signals it learned from and its size model, where they are there."""

    champion: Champion
    past: PastSignals | None
    sizer: Sizer | None = None

    def predict(
        self, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
    ) -> Prediction:
        """As ``core.ports.Predictor``. Raises ModelError."""
        found = self.champion.predict(features)
        if self.sizer is not None:
            found = replace(found, size_rank=self.sizer.rank(features))
        if self.past is None or direction is None or at is None:
            return found
        return replace(found, neighbours=self.past.nearest(features, direction, at))


@dataclass(frozen=True)
class Question:
    """What ``core.ports.Predictor`` is asked."""

    features: Mapping[str, float]
    direction: Direction | None
    at: int | None


Answer = Prediction | Exception | None
"""None where there is no champion."""

_loaded: dict[object, tuple[tuple[int, ...], Loaded | None]] = {}  # in the worker: by where the models lie


class ChampionPredictor:
    """Implements ``core.ports.Predictor``: asks the champion on disk, and a new one as soon as its files change.

    ``reason`` says why there is none yet, such as "learning 31/50".
    """

    def __init__(self, worker: Worker, models: Models, reason: Callable[[], str] = lambda: "no model yet") -> None:
        self._worker = worker
        self._models = models
        self._reason = reason
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    @property
    def model_id(self) -> str | None:
        """The champion's id; None where there is none, or its files are damaged."""
        try:
            return self._models.champion_id()
        except ModelError:
            return None

    async def predict(
        self, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
    ) -> Prediction | str:
        """A prediction, or a short sentence saying why there is none. Never raises.

        What is asked at the same time goes to the worker together: at a close of hundreds of pairs, once.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((Question(dict(features), direction, at), answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        found = await answer
        if isinstance(found, JulabaError):
            return str(found)
        if isinstance(found, Exception):  # a decision never waits for, nor fails with, the model
            _LOG.error("the model failed", exc_info=found)
            return f"the model failed: {found}"
        return found if found is not None else self._reason()

    async def _ask(self) -> None:
        await asyncio.sleep(0)  # whoever asks at this moment comes along
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            found: Sequence[Answer]
            try:
                found = await self._worker.run_next(predict_all, self._models, [question for question, _ in waiting])
            except Exception as error:  # told to each of them
                found = [error] * len(waiting)
            for (_, answer), one in zip(waiting, found, strict=True):
                if not answer.done():  # its asker may have gone
                    answer.set_result(one)


def predict_all(models: Models, questions: Sequence[Question]) -> list[Answer]:
    """``predict_with`` for each; what fails at one is its answer and no other's. Call it in a worker."""
    return [_answer(models, question) for question in questions]


def _answer(models: Models, question: Question) -> Answer:
    try:
        return predict_with(models, question.features, question.direction, question.at)
    except Exception as error:  # the edge of the worker: the others asked with it go on
        return error


def predict_with(
    models: Models, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
) -> Prediction | None:
    """The champion's prediction, None where there is none; it stays in memory until its files change.

    Loads the learning libraries: call it in a worker. Raises ModelError.
    """
    stamp, (known, loaded) = models.stamp(), _loaded.get(models, ((), None))
    if stamp != known or models not in _loaded:
        loaded = load(models)
        _loaded[models] = (stamp, loaded)
    return loaded.predict(features, direction, at) if loaded else None


def load(models: Models) -> Loaded | None:
    """The champion and what lies beside it, None where there is no champion. Raises ModelError where it is damaged."""
    champion = models.champion()
    if champion is None:
        return None
    return Loaded(champion, past_signals(models, champion.model_id), sizer(models, champion.model_id))


def sizer(models: Models, model_id: str) -> Sizer | None:
    """The size model beside a model; None where it has none.

    Raises ModelError where it is damaged: money follows it, so it is said rather than done without.
    """
    content = models.beside(model_id, SIZING)
    return None if content is None else Sizer(SizingModel.from_json(content))


def past_signals(models: Models, model_id: str) -> PastSignals | None:
    """The signals a model learned from; None where it has none beside it, or they are damaged: it answers without."""
    try:
        content = models.beside(model_id, SAMPLES)
        return None if content is None else PastSignals.from_json(content)
    except ModelError as error:
        _LOG.warning("no past signals are shown: %s", error)
        return None
