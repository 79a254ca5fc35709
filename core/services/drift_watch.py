"""Looks for drift: whether what the champion is asked about now is still what it was trained among.

The rows are crossovers that were no signals, then and now: there are some fifteen times as many as signals, and they
did not teach the model, which is surer of what it has learned by heart. *Then* is the history it learned from, worked
out again from the stored candles; *now* are the features and probabilities stored at each decision. A look is taken at
fixed counts of them, 200, 300, 400 ..., on all since the training, and stored: it is never repeated. The newest 200
alone would be two or three weeks, in which a slow feature has one mood and nothing can be said of it. Two looks running
that find drift confirm it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import numpy as np

from core.config import Settings
from core.domain.candles import to_ms
from core.domain.ledger import Seen
from core.errors import JulabaError, ModelError
from core.ml.drift import ERROR, MIN_RECENT, DriftLook, confirmed, drift_look
from core.ml.features import row_of, set_name
from core.ml.prediction import Champion
from core.ports import CandleStore, ChatStore, Clock, Ledger
from core.services.champion import ChampionInfo
from core.services.samples import stored_samples
from core.services.worker import Worker

log = logging.getLogger(__name__)

EVERY = 100
"""Crossovers between two looks; the first is at ``drift.MIN_RECENT``."""

PROBABILITY = "the probability"


class SavedModels(Protocol):
    def load(self, model_id: str) -> Champion: ...


Compare = Callable[[str, Sequence[Seen]], Awaitable[DriftLook]]


class DriftWatch:
    """The drift looks of every champion of one store. ``newest`` gives a number that changes with every decision."""

    def __init__(
        self, clock: Clock, ledger: Ledger, chat: ChatStore, newest: Callable[[], int], compare: Compare
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._newest = newest
        self._compare = compare
        self._known: tuple[str, int] | None = None  # the champion and the newest decision at the last review
        self._seen = 0
        self._busy = asyncio.Lock()

    async def looks(self, line: str, model_id: str) -> list[DriftLook]:
        return [DriftLook(**json.loads(body)) for body in await self._chat.looks(_name(line, model_id))]

    async def review(self, line: str, champion: ChampionInfo) -> None:
        """Takes the looks that are due, each once; what cannot be worked out now is tried at the next crossover."""
        if champion.model_id is None:
            return
        async with self._busy:
            known = (champion.model_id, self._newest())
            if known == self._known:
                return
            self._known = known
            since = champion.trained_at or 0
            self._seen = await self._ledger.crossover_count(champion.model_id, since)
            taken = len(await self._chat.looks(_name(line, champion.model_id)))
            try:
                for index in range(taken, looks_up_to(self._seen)):
                    seen = await self._ledger.crossovers(champion.model_id, since, look_count(index))
                    await self._look(line, champion.model_id, index, seen)
            except JulabaError as error:
                log.warning("drift could not be looked for: %s", error)

    async def _look(self, line: str, model_id: str, index: int, seen: Sequence[Seen]) -> None:
        look = await self._compare(model_id, seen)
        state = "beyond" if look.beyond else "within"
        now = to_ms(self._clock.now())
        await self._chat.save_look(
            _name(line, model_id), index + 1, len(seen), now, ERROR, state, json.dumps(asdict(look))
        )

    async def reason(self, line: str, champion: ChampionInfo) -> str:
        """Why the champion may have no weight: its last two looks both found drift. Empty where they did not."""
        if champion.model_id is None:
            return ""
        looks = await self.looks(line, champion.model_id)
        if not confirmed(looks):
            return ""
        return f"the market is no longer what {champion.model_id} learned: {looks[-1].sentence}; /retrain learns it"

    async def sentence(self, line: str, champion: ChampionInfo) -> str:
        """For /ml: what the last look said and when the next is due."""
        if champion.model_id is None:
            return ""
        looks = await self.looks(line, champion.model_id)
        following = f"next look at {look_count(len(looks))} crossovers, {self._seen} so far"
        return f"{looks[-1].sentence}; {following}" if looks else f"no look yet, {following}"


def look_count(index: int) -> int:
    """The number of crossovers at which look ``index`` (from 0) is taken."""
    return MIN_RECENT + EVERY * index


def looks_up_to(seen: int) -> int:
    return 0 if seen < MIN_RECENT else (seen - MIN_RECENT) // EVERY + 1


def _name(line: str, model_id: str) -> str:
    return f"{line}/drift/{model_id}"


def drift_job(
    candles: CandleStore, models: SavedModels, settings: Settings, model_id: str, seen: Sequence[Seen]
) -> DriftLook:
    """For a worker process: compares ``seen`` with the history the model learned from. Seconds of CPU.

    Raises ModelError and DataError.
    """
    champion = models.load(model_id)
    names, until = champion.features, champion.manifest.trained_until
    own = settings.model_copy(update={"ml": settings.ml.model_copy(update={"features": set_name(names)})})
    start = until - settings.bootstrap_ms
    history = stored_samples(candles, settings.traded, settings.frame, own, start, until, candidates=True)
    then = history.take(~history.is_signal)
    if not len(then):
        raise ModelError(f"there is no history of {model_id} to compare with")
    now = np.vstack([row_of(s.features, names) for s in seen])
    return drift_look(
        np.column_stack([then.X, champion.predict_rows(then.X)]),
        np.column_stack([now, np.array([s.probability for s in seen], dtype=np.float64)]),
        (*names, PROBABILITY),
        settings.ml.seed,
        times=(then.time, np.array([s.time for s in seen], dtype=np.int64)),
    )


def in_a_worker(candles: CandleStore, models: SavedModels, settings: Callable[[], Settings]) -> Compare:
    """``drift_job`` in a process of its own, ended afterwards: predictions must not stand in line behind it."""

    async def compare(model_id: str, seen: Sequence[Seen]) -> DriftLook:
        async with Worker() as worker:
            return await worker.run(drift_job, candles, models, settings(), model_id, seen)

    return compare
