"""Saved models, who was champion of them, and all that decides on a new one: where tests of takeovers begin."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.adapters.model_files import ModelFiles
from core.adapters.sqlite_models import SqliteModels
from core.config import Settings
from core.domain.candles import iso
from core.domain.messages import Event
from core.ml.challenge import Comparison, Score
from core.ml.features import FEATURES_V1
from core.ml.logistic import Logistic
from core.ml.manifest import Manifest
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.champion import champion_reader
from core.services.gatekeeper import Gatekeeper
from core.services.registry import Registry
from core.services.takeovers import Takeovers
from core.services.views import Actor, TrainingView
from tests.ledgers import Books, Stage, books, settings
from tests.markets import M15, START

T = TypeVar("T")

ANN = Actor(1001, "Ann", "approver")
OLE = Actor(1002, "Ole", "operator")
VAL = Actor(1003, "Val", "viewer")


async def inline(function: Callable[..., T], /, *arguments: Any) -> T:
    """In the place of a worker process."""
    return await asyncio.to_thread(function, *arguments)


def saved(
    files: ModelFiles,
    name: str,
    *,
    parent: str | None = None,
    day: int = 0,
    challenge: Comparison | None = None,
    label: str = "gross",
) -> str:
    """A small whole model of that name, trained ``day`` days after the first candle."""
    count = len(FEATURES_V1)
    slope = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) / 1e8
    model = Logistic(np.zeros(count), np.ones(count), np.full(count, slope), -0.4)
    payload = model.to_json()
    figures = {"n": 90, "auc": 0.58, "auc_low": 0.51, "auc_high": 0.65, "brier_skill": 0.01}
    metrics: dict[str, Any] = {"walk_forward": figures}
    if challenge is not None:
        metrics["challenge"] = challenge.to_json()
    created = START + day * 96 * M15.ms
    manifest = Manifest(
        model_id=name,
        kind="logistic",
        features=FEATURES_V1,
        label=label,
        trees=0,
        rows=400,
        sources={"backtest": 380, "trade": 20},
        base_rate=0.4,
        data_hash="",
        model_sha256=hashlib.sha256(payload).hexdigest(),
        seed=7,
        metrics=metrics,
        version="0",
        created=iso(created),
        trained_until=created,
        parent=parent,
        line="first",
    )
    files.save(payload, manifest)
    return name


def better(champion: str, challenger: str) -> Comparison:
    """A comparison that a challenger has won."""
    return Comparison(
        champion_id=champion,
        challenger_id=challenger,
        n=120,
        better=True,
        sentence=f"it does better than {champion}: squared error lower by 0.0120 on 120 signals new to both",
        champion=Score(0.2431, 0.52),
        challenger=Score(0.2311, 0.58),
        gain=0.0120,
        low=0.0031,
        high=0.0209,
        auc_gain=0.06,
        auc_low=0.01,
        auc_high=0.11,
    )


def no_better(champion: str, challenger: str) -> Comparison:
    sentence = f"the champion {champion} stays: squared error lower by 0.0020 on 120 signals new to both"
    return replace(better(champion, challenger), better=False, gain=0.002, low=-0.004, sentence=sentence)


def trained(model_id: str, comparison: Comparison) -> TrainingView:
    """What a training says before anybody has decided on its model."""
    return TrainingView(model_id, comparison.same, "the evaluation", 400, {}, None, 1.0, comparison)


@dataclass
class Throne:
    files: ModelFiles
    registry: Registry
    keeper: Gatekeeper
    approvals: Approvals
    takeovers: Takeovers
    stage: Stage
    kept: Books

    def pass_by(self, **time: float) -> None:
        self.stage.clock.advance(self.stage.clock.now() + timedelta(**time))

    async def told(self) -> list[Event]:
        return [item.event for item in await self.kept.chat.pending(100)]

    async def reigns(self) -> list[str]:
        return [r.model_id for r in await SqliteModels(self.kept.db).champions()]

    async def give_weight(self, weight: float) -> None:
        """To the champion, as an approver would have."""
        now = self.stage.loop.memory.controls
        controls = replace(now, approved_weight=weight, approved_model=self.files.champion_id())
        await self.kept.ledger.set_controls(controls)
        self.stage.loop.memory.controls = controls

    async def weights(self) -> tuple[float, float]:
        """The weight in memory and the one in the store: they must be the same."""
        return self.stage.loop.memory.controls.approved_weight, (await self.kept.ledger.controls()).approved_weight


@asynccontextmanager
async def throne(
    path: Path, champions: Sequence[str] = ("first",), config: Settings | None = None
) -> AsyncIterator[Throne]:
    """A bot's throne on which ``champions`` have followed one another, an hour apart; opened again it goes on."""
    config = config or settings()
    files = ModelFiles(path / "models")
    async with books(path) as kept:
        stage = await Stage.begin(kept, 0, config)
        bell = Bell()
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        reader = champion_reader(files)
        keeper = Gatekeeper(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, lambda: reader(0), approvals)
        registry = Registry(files, SqliteModels(kept.db), stage.clock, inline)
        takeovers = Takeovers(config, stage.clock, stage.loop, bell, registry, keeper, approvals)
        found = Throne(files, registry, keeper, approvals, takeovers, stage, kept)
        for number, name in enumerate(champions):
            if name not in files.ids():
                saved(files, name, parent=champions[number - 1] if number else None, day=-30 + number)
                await registry.crown(name, "main", "Julaba", "it was better")
            found.pass_by(hours=1)
        yield found
