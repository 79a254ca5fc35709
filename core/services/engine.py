"""Everything that runs beside the chat: the live loop, the gate's looks, and retraining when it is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from core.config import Settings
from core.domain.candles import DAY_MS, to_ms
from core.domain.messages import Notice
from core.ports import Clock, Ledger
from core.services.bus import Bell
from core.services.champion import ChampionInfo
from core.services.desk import Desk
from core.services.gatekeeper import Gatekeeper
from core.services.live import LiveTrading
from core.services.outbox import Outbox
from core.services.takeovers import Takeovers
from core.services.trainings import Trainings, Tried
from core.services.upkeep import Rounds
from core.services.views import Actor, Progress

log = logging.getLogger(__name__)

UPKEEP_EVERY = 2.0  # seconds of wall time
RETRAIN_EVERY_MS = 7 * DAY_MS
UPKEEP = "upkeep"
"""The mark that names the newest close (epoch ms) after which everything that is due has been done."""

BOT = Actor(0, "Julaba", "operator")


@dataclass
class Engine:
    """The parts as wired by bootstrap. ``run`` ends only by cancellation; ``progress`` hears of the first training.

    ``reviews`` are asked at every round of upkeep, beside the gate's own; ``beside`` runs as long as trading does, each
    by itself, and ends only by cancellation. ``announce`` tells whoever started this process that it is up. ``again``
    is set by who wants all of it closed and opened anew, on the settings as they are stored by then.
    """

    settings: Settings
    clock: Clock
    ledger: Ledger
    desk: Desk
    outbox: Outbox
    live: LiveTrading
    gatekeeper: Gatekeeper
    takeovers: Takeovers
    champion: Callable[[], ChampionInfo]
    bell: Bell
    progress: Progress = lambda text, done: None
    reviews: tuple[Callable[[], Awaitable[None]], ...] = ()
    beside: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
    announce: Callable[[], None] = lambda: None
    again: asyncio.Event = field(default_factory=asyncio.Event)
    _cut_off: bool = False  # a training that the last run did not end

    @property
    def trainings(self) -> Trainings:
        return Trainings(self.clock, self.ledger)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.live.run())
            tasks.create_task(self._upkeep())
            for work in self.beside:
                tasks.create_task(work())

    async def _upkeep(self) -> None:
        await self.live.ready.wait()
        await self._begin()
        rounds = Rounds()
        noted = 0
        while True:
            settled = self.live.settled  # as it was when the round began: a later close may be half done
            # Each alone: a damaged model or a full disk must not keep the weight from being taken away.
            await rounds((self.takeovers.follow, self.gatekeeper.review, self._train_when_due, *self.reviews))
            if settled > noted:
                noted = settled if await self._note(settled) else noted
            await self.live.closed.heard(UPKEEP_EVERY)

    async def _note(self, settled: int) -> bool:
        """Says in the store up to which close everything is looked after; False where the store refuses."""
        try:
            await self.ledger.set_mark(UPKEEP, str(settled))
        except Exception:  # the edge of a loop, as in the rounds: a full disk must not end the trading
            log.warning("the upkeep's mark could not be stored", exc_info=True)
            return False
        return True

    async def _train_when_due(self) -> None:
        outcomes, tried = await self.ledger.outcome_count(), await self.trainings.last()
        if self._cut_off or self._retraining_due(outcomes, tried):
            self._cut_off = False
            await self._retrain()

    async def _begin(self) -> None:
        """Takes up what a kill cut off: a promotion, a training."""
        try:
            tried = await self.trainings.last()
            self._cut_off = tried is not None and tried.cut_off
            await self.takeovers.start()
        except Exception:  # the edge of a loop: what was left unfinished must not end the trading
            log.exception("the models could not be looked through")

    def _retraining_due(self, outcomes: int, tried: Tried | None) -> bool:
        """At the first start, after ``ml.retrain_after`` new live outcomes, and weekly."""
        champion = self.champion()
        if champion.model_id is None and tried is None:
            return True
        known = max(champion.live_outcomes, tried.outcomes if tried else 0)
        trained_at = max(champion.trained_at or 0, tried.at if tried else 0)
        weekly = to_ms(self.clock.now()) - trained_at >= RETRAIN_EVERY_MS
        return weekly or outcomes - known >= self.settings.ml.retrain_after

    async def _retrain(self) -> None:
        first = self.champion().model_id is None
        if first:
            await self._say("Learning from history", f"up to {self.settings.bootstrap_ms // DAY_MS} days of each pair")
        view = await self.desk.retrain(BOT, self.progress)
        if view.model_id is None:
            await self._say("No model yet", view.sentence)

    async def _say(self, title: str, detail: str) -> None:
        now = self.clock.now()
        key = f"training:{title}:{to_ms(now)}"
        await self.ledger.publish([Notice(key=key, time=now, topic="training", title=title, detail=detail)])
        self.bell.ring()
