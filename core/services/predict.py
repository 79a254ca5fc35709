"""The champion's opinion on a candidate, asked in the worker process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from core.errors import JulabaError, ModelError
from core.ml.prediction import Champion
from core.ports import Prediction
from core.services.train import Models
from core.services.worker import Worker

_LOG = logging.getLogger(__name__)

_loaded: dict[object, tuple[tuple[int, ...], Champion | None]] = {}  # in the worker: by where the models lie


class ChampionPredictor:
    """Implements ``core.ports.Predictor``: asks the champion on disk, and a new one as soon as its files change.

    ``reason`` says why there is none yet, such as "learning 31/50".
    """

    def __init__(self, worker: Worker, models: Models, reason: Callable[[], str] = lambda: "no model yet") -> None:
        self._worker = worker
        self._models = models
        self._reason = reason

    @property
    def model_id(self) -> str | None:
        """The champion's id; None where there is none, or its files are damaged."""
        try:
            return self._models.champion_id()
        except ModelError:
            return None

    async def predict(self, features: Mapping[str, float]) -> Prediction | str:
        """A prediction, or a short sentence saying why there is none. Never raises."""
        try:
            found = await self._worker.run(predict_with, self._models, dict(features))
        except JulabaError as error:
            return str(error)
        except Exception as error:  # a decision never waits for, nor fails with, the model
            _LOG.exception("the model failed")
            return f"the model failed: {error}"
        return found if found is not None else self._reason()


def predict_with(models: Models, features: Mapping[str, float]) -> Prediction | None:
    """The champion's prediction, None where there is none; it stays in memory until its files change.

    Loads the learning libraries: call it in a worker. Raises ModelError.
    """
    stamp, (known, champion) = models.stamp(), _loaded.get(models, ((), None))
    if stamp != known or models not in _loaded:
        champion = models.champion()
        _loaded[models] = (stamp, champion)
    return champion.predict(features) if champion else None
