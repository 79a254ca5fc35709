"""The model in use, as far as chat and gatekeeper need to know it, read again only when its files change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.domain.candles import DAY_MS, to_ms
from core.errors import ModelError
from core.ml.manifest import Manifest
from core.services.records import LIVE_SOURCES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChampionInfo:
    """The model in use: its id, walk-forward figures, the rows it learned from, and when (epoch ms).

    Without a model ``rows`` is what the last training found. ``sha256`` is the hash of its file.
    """

    model_id: str | None
    metrics: dict[str, float | None]
    rows: int
    live_outcomes: int = 0  # how many of the rows were lived
    trained_at: int | None = None
    sha256: str | None = None

    def age_days(self, now: datetime) -> float | None:
        """Days since it was trained, None where that is not known."""
        return None if self.trained_at is None else (to_ms(now) - self.trained_at) / DAY_MS


class ChampionFiles(Protocol):
    """What the reader wants of the models on disk."""

    def champion_id(self) -> str | None: ...
    def manifest(self, model_id: str) -> Manifest: ...
    def stamp(self) -> tuple[int, ...]: ...


def champion_reader(models: ChampionFiles) -> Callable[[int], ChampionInfo]:
    """A function of the rows that the last training found; it knows no model where the champion's files are damaged."""
    known: tuple[tuple[int, ...], ChampionInfo | None] | None = None

    def read(rows: int) -> ChampionInfo:
        nonlocal known
        stamp = models.stamp()
        if known is None or known[0] != stamp:
            known = (stamp, _load(models))
        return known[1] or ChampionInfo(None, {}, rows)

    return read


def _load(models: ChampionFiles) -> ChampionInfo | None:
    try:
        champion_id = models.champion_id()
        if champion_id is None:
            return None
        manifest = models.manifest(champion_id)
    except ModelError as error:
        log.error("%s", error)
        return None
    figures = manifest.metrics.get("walk_forward", {})
    return ChampionInfo(
        champion_id,
        {name: value for name, value in figures.items() if isinstance(value, int | float)},
        manifest.rows,
        live_outcomes=sum(manifest.sources.get(source, 0) for source in LIVE_SOURCES),
        trained_at=to_ms(datetime.fromisoformat(manifest.created)),
        sha256=manifest.model_sha256,
    )
