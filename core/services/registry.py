"""The registry: every model with where it came from, who was champion when, and the way back.

Which model is champion is said by one file, the pointer; it is written last, so a kill at any moment leaves the old
champion or the new one. The book of reigns follows the pointer: ``reconcile`` at every start writes what a kill left
out, and finishes a promotion that an approver had granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from core.domain.candles import to_datetime, to_ms
from core.domain.ledger import Controls
from core.domain.messages import Event, ModelTrained
from core.errors import ModelError, UsageError
from core.ml.challenge import Comparison
from core.ml.features import FEATURE_SETS
from core.ml.manifest import Manifest
from core.ml.prediction import Champion
from core.ports import ChampionBook, ChampionRecord, Clock, StoredApproval
from core.services.model_pictures import PictureKind, model_picture
from core.services.pictures import Draw

T = TypeVar("T")

KEEP = 20
"""Challengers that are kept; older ones that were never champion are deleted."""

ROLLED_BACK = "rolled back"
"""How the reason of a reign begins that a rollback started."""

State = Literal["champion", "former champion", "challenger", "damaged"]


class ModelShelf(Protocol):
    """What the registry wants of the models on disk; ``core.adapters.model_files.ModelFiles`` is the real one."""

    def ids(self) -> tuple[str, ...]: ...
    def manifest(self, model_id: str) -> Manifest: ...
    def load(self, model_id: str) -> Champion: ...
    def damage(self, model_id: str) -> str: ...
    def champion_id(self) -> str | None: ...
    def promote(self, model_id: str) -> None: ...
    def stamp(self) -> tuple[int, ...]: ...
    def mend(self) -> bool: ...
    def remove(self, model_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Reign:
    """A time as champion; ``until`` None: it still is."""

    since: datetime
    until: datetime | None
    chosen_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One saved model. What a damaged manifest does not tell is None or empty; ``damage`` then says what is wrong.

    ``auc`` and its 95% interval are walk-forward on ``evaluated`` unseen signals; ``comparison`` is with the champion
    at its training.
    """

    model_id: str
    state: State
    damage: str
    kind: str
    feature_set: str
    rows: int
    trained_at: datetime | None
    trained_until: datetime | None
    evaluated: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    brier_skill: float | None
    parent: str | None
    line: str
    sha256: str
    reigns: tuple[Reign, ...]
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class ModelList:
    """All models, the newest first, and what a rollback would go back to (None: nothing)."""

    models: tuple[ModelEntry, ...]
    champion: str | None
    before: str | None

    def find(self, model_id: str) -> ModelEntry:
        """By its whole id, or by the end of it where that names one alone. Raises UsageError."""
        found = [m for m in self.models if m.model_id == model_id]
        found = found or [m for m in self.models if len(model_id) >= 4 and m.model_id.endswith(model_id)]
        if len(found) == 1:
            return found[0]
        raise UsageError(f"there is no model {model_id[:40]}; /models lists them")

    def lineage(self, model: ModelEntry) -> tuple[str, ...]:
        """The model and the champions it came after, the newest first; ended by a loop or by one that is gone."""
        parents = {m.model_id: m.parent for m in self.models}
        chain, parent = [model.model_id], model.parent
        while parent is not None and parent not in chain:
            chain.append(parent)
            parent = parents.get(parent)
        return tuple(chain)


def succession(records: Sequence[ChampionRecord]) -> tuple[str, ...]:
    """The champions a rollback can go back through, the present one last.

    A rollback takes away all that came after the model it went back to; any other reign is added.
    """
    line: list[str] = []
    for record in records:
        if record.reason.startswith(ROLLED_BACK) and record.model_id in line:
            while line[-1] != record.model_id:
                line.pop()
        elif not line or line[-1] != record.model_id:
            line.append(record.model_id)
    return tuple(line)


class Run(Protocol):
    """Calls a function where the learning libraries may be loaded: ``Worker.run``, or a thread of a command."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any) -> Awaitable[T]: ...


def check_model(shelf: ModelShelf, model_id: str) -> None:
    """Raises ModelError where a model's files are not whole or cannot be loaded. Loads the learning libraries."""
    shelf.load(model_id)


class Registry:
    """The models of one data directory."""

    def __init__(self, shelf: ModelShelf, book: ChampionBook, clock: Clock, run: Run) -> None:
        self._shelf = shelf
        self._book = book
        self._clock = clock
        self._run = run
        self._followed: tuple[int, ...] | None = None  # the files' stamp when the book last agreed with them

    def champion(self) -> str | None:
        """The id of the champion; None where there is none or the pointer is damaged."""
        try:
            return self._shelf.champion_id()
        except ModelError:
            return None

    async def list(self) -> ModelList:
        records = await self._book.champions()
        champion = self.champion()
        models = await asyncio.to_thread(self._entries, records, champion)
        return ModelList(models, champion, self._before(records, champion, models))

    async def picture(self, model_id: str, kind: PictureKind, draw: Draw) -> bytes:
        """Of a saved model's evaluation, as PNG. Raises ModelError, UsageError."""
        return await model_picture(self._shelf, model_id, kind, draw)

    def _entries(self, records: Sequence[ChampionRecord], champion: str | None) -> tuple[ModelEntry, ...]:
        found = [self._entry(model_id, records, champion) for model_id in self._shelf.ids()]
        return tuple(sorted(found, key=lambda m: (m.trained_at is not None, m.trained_at, m.model_id), reverse=True))

    def _entry(self, model_id: str, records: Sequence[ChampionRecord], champion: str | None) -> ModelEntry:
        reigns = _reigns(model_id, records)
        damage = self._shelf.damage(model_id)
        state: State = "former champion" if reigns else "challenger"
        state = "champion" if model_id == champion else "damaged" if damage else state
        try:
            manifest = self._shelf.manifest(model_id)
        except ModelError:
            return ModelEntry(
                model_id, state, damage, "", "", 0, None, None, 0, None, None, None, None, None, "", "", reigns, None
            )
        figures = manifest.metrics.get("walk_forward", {})
        return ModelEntry(
            model_id=model_id,
            state=state,
            damage=damage,
            kind=manifest.kind,
            feature_set=_feature_set(manifest.features),
            rows=manifest.rows,
            trained_at=datetime.fromisoformat(manifest.created),
            trained_until=to_datetime(manifest.trained_until),
            evaluated=int(figures.get("n") or 0),
            auc=figures.get("auc"),
            auc_low=figures.get("auc_low"),
            auc_high=figures.get("auc_high"),
            brier_skill=figures.get("brier_skill"),
            parent=manifest.parent,
            line=manifest.line,
            sha256=manifest.model_sha256,
            reigns=reigns,
            comparison=_comparison(manifest),
        )

    def _before(
        self, records: Sequence[ChampionRecord], champion: str | None, models: Sequence[ModelEntry]
    ) -> str | None:
        """The newest champion before this one whose files are whole."""
        whole = {m.model_id for m in models if not m.damage}
        names = succession(records) or _ancestors(champion, models)
        if champion in names:
            names = names[: len(names) - 1 - names[::-1].index(champion)]
        return next((name for name in reversed(names) if name in whole and name != champion), None)

    async def was_champion(self, model_id: str) -> bool:
        return any(r.model_id == model_id for r in await self._book.champions())

    async def check(self, model_id: str) -> None:
        """Raises ModelError where a model could not become champion: its files are not whole or cannot be loaded."""
        await self._run(check_model, self._shelf, model_id)

    async def crown(
        self,
        model_id: str,
        line: str,
        chosen_by: str,
        reason: str,
        controls: Controls | None = None,
        events: Iterable[Event] = (),
    ) -> None:
        """Makes a checked model champion: its files first, then the book, the controls and the news together.

        The last of the events is the news itself; a kill behind the files does not lose it. Raises ModelError, and
        nothing is changed, where the files refuse.
        """
        events = tuple(events)
        if events:
            await self._book.intend(self._record(model_id, line, chosen_by, reason), events[-1])
        await self._run(self._shelf.promote, model_id)
        await self.note(model_id, line, chosen_by, reason, controls, events)

    async def note(
        self,
        model_id: str,
        line: str,
        chosen_by: str,
        reason: str,
        controls: Controls | None = None,
        events: Iterable[Event] = (),
    ) -> None:
        """Writes a reign's beginning into the book, for a model whose files already say that it is champion."""
        await self._book.crowned(self._record(model_id, line, chosen_by, reason), controls, events)

    def _record(self, model_id: str, line: str, chosen_by: str, reason: str) -> ChampionRecord:
        return ChampionRecord(line, model_id, to_ms(self._clock.now()), chosen_by[:64], reason[:500])

    async def promised(self) -> StoredApproval | None:
        """A promotion that was approved and whose files a kill kept from following."""
        return await self._book.promised()

    async def noted(self) -> str | None:
        """Who is champion by the book."""
        records = await self._book.champions()
        return records[-1].model_id if records else None

    async def prune(self, spared: Iterable[str] = (), keep: int = KEEP) -> tuple[str, ...]:
        """Deletes all but the newest ``keep`` challengers; never one that is or was champion, nor a ``spared`` one."""
        found = await self.list()
        kept = {m.parent for m in found.models} | set(spared) | {found.champion}
        spare = [m for m in found.models if not m.reigns and m.model_id not in kept]
        gone = tuple(m.model_id for m in spare[keep:])
        for model_id in gone:
            await asyncio.to_thread(self._shelf.remove, model_id)
        return gone

    def _found(self, champion: str) -> Event:
        """News of a takeover that nobody was told of: cut off before its news, or made by another command."""
        now = self._clock.now()
        summary = "found in use: a takeover that was cut off, or made outside of this bot; /models shows it"
        key = f"model:{champion}:{to_ms(now)}"
        return ModelTrained(key=key, time=now, model_id=champion, champion=True, summary=summary)

    async def reconcile(self, line: str) -> str | None:
        """Repairs what a kill cut off; without a change of the champion's files since the last time it costs nothing.

        Gives the champion's id where the book had not heard of it.
        """
        if (stamp := self._shelf.stamp()) == self._followed:
            return None
        if await asyncio.to_thread(self._shelf.mend):
            stamp = self._shelf.stamp()
        champion = self.champion()
        unheard = champion is not None and champion != await self.noted()
        intended = await self._book.intended() if unheard else None
        if intended is not None and intended[0].model_id == champion:
            await self._book.crowned(intended[0], None, [intended[1]])  # a weight that it ends is revoked by the gate
        elif champion is not None and unheard:
            first = not await self._book.champions()
            reason = (
                "it was in use when the book was begun"
                if first
                else "its files say so: a takeover that was cut off, or made outside of this bot"
            )
            await self.note(champion, line, "found in use", reason, events=() if first else [self._found(champion)])
        self._followed = stamp
        return champion if unheard else None


def _ancestors(champion: str | None, models: Sequence[ModelEntry]) -> tuple[str, ...]:
    """Without a book (no bot has run here yet) a champion's parent is the one it took over from; the oldest first."""
    entry = next((m for m in models if m.model_id == champion), None)
    return () if entry is None else ModelList(tuple(models), champion, None).lineage(entry)[::-1]


def _reigns(model_id: str, records: Sequence[ChampionRecord]) -> tuple[Reign, ...]:
    ends = [*(to_datetime(r.since) for r in records[1:]), None]
    return tuple(
        Reign(to_datetime(r.since), end, r.chosen_by, r.reason)
        for r, end in zip(records, ends, strict=False)
        if r.model_id == model_id
    )


def _feature_set(features: tuple[str, ...]) -> str:
    return next((name for name, names in FEATURE_SETS.items() if names == features), f"{len(features)} features")


def _comparison(manifest: Manifest) -> Comparison | None:
    """None for a model of an older version, or of no comparison that this one can read."""
    try:
        return Comparison.from_json(manifest.metrics["challenge"])
    except (KeyError, TypeError):
        return None
