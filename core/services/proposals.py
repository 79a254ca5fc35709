"""When the gate will not open: what was tried, what the evidence is, and the one change of a rule worth asking for.

The forecast is looked at after each training. Where it says no, the filters are audited in a process of their own, at
most once in ``EVERY_DAYS`` for a model line, and the answer becomes a card that an approver can say yes to. Where no
change would even have looked better, it is a plain notice: nothing is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.config import Settings
from core.domain.candles import DAY_MS, iso, to_ms
from core.domain.messages import Notice
from core.errors import DataError, ModelError
from core.ml.audit import Audit
from core.ml.features import FEATURE_SETS
from core.ml.forecast import Forecast
from core.ml.manifest import Manifest
from core.ml.suggestion import Suggestion, best, stands_beside, suggestions
from core.ports import CandleStore, ChatStore, Clock, Ledger
from core.services.bus import Bell
from core.services.filter_audit import filter_report
from core.services.loop import TradingLoop
from core.services.rules import RuleKeeper
from core.services.views import Progress
from core.services.worker import Worker

EVERY_DAYS = 30


class ModelShelf(Protocol):
    """What is wanted of the models on disk: every one that was ever trained, by its paper."""

    def ids(self) -> Sequence[str]: ...
    def manifest(self, model_id: str) -> Manifest: ...


@dataclass(frozen=True, slots=True)
class OpeningAnswer:
    """Whether the gate will open, and what is known of it. ``approval_id``: a card that waits for an answer."""

    opens: bool | None
    title: str
    lines: tuple[str, ...]
    approval_id: int | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found: the audit itself and sentences about what could not be known."""

    audit: Audit
    notes: tuple[str, ...]


def audit_job(progress: Progress, candles: CandleStore, settings: Settings, now_ms: int) -> Audited:
    """For a worker process: the filters on the stored candles of ``ml.bootstrap_days``. Raises DataError."""
    frame = settings.frame
    windows = {pair: window for pair in settings.traded if len(window := candles.load(pair, frame, None, now_ms))}
    if not windows:
        raise DataError("no candles are stored yet, so the filters cannot be audited")
    first = min(int(window.time[0]) for window in windows.values())
    start = max(first, now_ms - settings.bootstrap_ms)
    done = 0

    def told(_: int) -> None:
        nonlocal done
        done += 1
        progress(f"filters: {done} crossovers looked at", 0.0)

    report = filter_report(windows, candles, settings, start, now_ms, settings.ml.seed, told)
    return Audited(report.audit, report.notes)


Auditor = Callable[[Settings, int, Progress], Awaitable[Audited]]
"""The audit of the filters under these settings up to a time (epoch ms). Raises DataError without candles."""


def auditor(candles: CandleStore, before: Callable[[], Awaitable[None]]) -> Auditor:
    """Audits in a process of its own. ``before`` is awaited first: candles in memory go to the files."""

    async def run(settings: Settings, now_ms: int, progress: Progress) -> Audited:
        await before()
        async with Worker() as worker:
            return await worker.run_with_progress(progress, audit_job, candles, settings, now_ms)

    return run


REVIEWED = "proposals"
"""The mark that names the models at the last review: a restart is no training."""


class Proposals:
    """Asks at most one question at a time, and never by itself more often than every ``EVERY_DAYS`` for a line."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        loop: TradingLoop,
        bell: Bell,
        rules: RuleKeeper,
        models: ModelShelf,
        outlook: Callable[[], Awaitable[Forecast]],
        audit: Auditor,
    ) -> None:
        """``outlook`` gives the forecast of today."""
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._loop = loop
        self._bell = bell
        self.rules = rules
        self._models = models
        self._outlook = outlook
        self._audit = audit
        self._one = asyncio.Lock()
        self._known: str | None = None  # the models at the last review, as marked; None before the mark is read

    @property
    def _line(self) -> str:
        return f"{self._loop.memory.controls.line}/proposal"

    async def review(self) -> None:
        """For the engine's upkeep: drops changes that have lapsed and, after a training, looks whether to ask."""
        await self.rules.review()
        if self._known is None:
            self._known = await self._ledger.mark(REVIEWED) or ""
        found = " ".join(self._models.ids())
        if found == self._known:
            return
        try:
            await self.upkeep()
        except Exception:
            await self._remember(found)  # what fails is tried again after the next training
            raise
        await self._remember(found)

    async def _remember(self, models: str) -> None:
        self._known = models
        await self._ledger.set_mark(REVIEWED, models)

    async def upkeep(self) -> None:
        """After a training: the card, where the gate will not open and none was made for ``EVERY_DAYS``."""
        last = [json.loads(body)["at"] for body in await self._chat.looks(self._line)][-1:]
        if last and to_ms(self._clock.now()) - last[0] < EVERY_DAYS * DAY_MS:
            return
        await self.consider("Julaba")

    async def consider(self, asked_by: str, progress: Progress = lambda text, done: None) -> OpeningAnswer:
        """Whether the gate will open and, where it will not, the card. Raises DataError without candles to audit."""
        async with self._one:
            outlook = await self._outlook()
            if outlook.opens is not False:
                title = "The gate may open" if outlook.opens else "Whether the gate will open cannot be told yet"
                return OpeningAnswer(outlook.opens, title, (_sentence(outlook.sentence), _sentence(outlook.told)))
            waiting = await self.rules.waiting()
            if waiting is not None:
                return OpeningAnswer(False, "The gate will not open", (_sentence(outlook.sentence),), waiting)
            return await self._propose(outlook, asked_by, progress)

    async def _propose(self, outlook: Forecast, asked_by: str, progress: Progress) -> OpeningAnswer:
        settings, now = self.rules.in_force, self._clock.now()
        tried = await asyncio.to_thread(tried_words, self._models, outlook)
        audited = await self._audit(settings, to_ms(now), progress)
        number = len(await self._chat.looks(self._line)) + 1
        found = best(audited.audit, settings)
        lines = card_lines(outlook, tried, audited, found, settings, number)
        approval_id = None
        if found is not None:
            title = f"The gate will not open. Instead: {found.words}?"
            approval_id = await self.rules.ask(found.values, title, lines, asked_by)
        else:
            title = "The gate will not open, and no rule's change looks better"
            await self._tell(title, lines, number)
        # Stored last: a crash before this asks again, and a question that waits is never doubled.
        body = json.dumps({"at": to_ms(now), "asked": found.name if found else None, "approval": approval_id})
        await self._chat.save_look(
            self._line, number, audited.audit.candidates, to_ms(now), 0.0, "asked" if found else "nothing", body
        )
        return OpeningAnswer(False, title, lines, approval_id)

    async def _tell(self, title: str, lines: Sequence[str], number: int) -> None:
        now, key = self._clock.now(), f"proposal:{self._line}:{number}"
        notice = Notice(key=key, time=now, topic="training", title=title, detail="\n".join(lines))
        await self._ledger.publish([notice])
        self._bell.ring()


def card_lines(
    outlook: Forecast, tried: str, audited: Audited, found: Suggestion | None, settings: Settings, number: int
) -> tuple[str, ...]:
    """The card's evidence in sentences: the forecast, what was tried, what the filters' audit says, the change."""
    audit = audited.audit
    days = f"{iso(audit.start_ms)[:10]} to {iso(audit.end_ms)[:10]}"
    times = "" if number == 1 else f" It is the {_th(number)} time that they are audited for this line."
    proven = [f'"{f.words}" {f.verdict}' for f in audit.filters if f.verdict == ("costs" if f.in_force else "helps")]
    said = (
        f"Beyond chance, after Holm's correction: {', '.join(proven)}."
        if proven
        else "No filter's worth can be told from chance."
    )
    lines = [
        _sentence(outlook.sentence),
        tried,
        f"The filters on {audit.candidates:,} crossovers of {len(audit.pairs)} pairs, {days}: {len(audit.filters)} "
        f"looked at, {audit.tested} could be tested. {said}{times}",
    ]
    lines += [
        f"Not asked for, since it makes less in all. {s.sentence}"
        for s in suggestions(audit, settings)
        if s.proven and not s.worth_asking
    ]
    if found is None:
        nothing = "No change of a rule would have looked better both a signal and in all: nothing is asked for."
        return (*lines, nothing, *audited.notes)
    lines.append(found.sentence)
    if not found.proven:
        lines.append("This may well be chance: it is the best of those looked at, and the best of many looks good.")
    if found.name in ("alignment", "btc") and (beside := stands_beside(settings.rules)):
        lines.append(f"Compared with all of them at full size: {beside}.")
    set_to = ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in found.values.items()
    )
    return (*lines, f"A yes sets {set_to} from the next candle on; /rules leads back.", *audited.notes)


def tried_words(models: ModelShelf, outlook: Forecast) -> str:
    """What was tried, from the papers of all models on the disk: how many, of what kind, the newest's figures."""
    papers = []
    for model_id in models.ids():
        try:
            papers.append(models.manifest(model_id))
        except ModelError:  # a damaged paper is told of elsewhere
            continue
    looks = f"{outlook.seen.looks} look{'' if outlook.seen.looks == 1 else 's'} taken by the gate"
    if not papers:
        return f"Tried: no model yet, {outlook.seen.outcomes} live outcomes, {looks}."
    newest = max(papers, key=lambda p: p.created)
    kinds = sorted({f"{p.kind} on {_set_of(p)}" for p in papers})
    many = f"{len(papers)} model{'' if len(papers) == 1 else 's'} ({', '.join(kinds)})"
    return f"Tried: {many}, the newest from {newest.rows:,} rows{_auc_of(newest)}; {looks}."


def _set_of(paper: Manifest) -> str:
    return next(
        (name for name, names in FEATURE_SETS.items() if names == paper.features), f"{len(paper.features)} features"
    )


def _auc_of(paper: Manifest) -> str:
    figures = paper.metrics.get("walk_forward", {})
    auc, low, high, n = (figures.get(name) for name in ("auc", "auc_low", "auc_high", "n"))
    if auc is None:
        return ""
    interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return f", walk-forward AUC {auc:.2f}{interval} on {n:,} unseen signals, guessing has 0.50"


def _th(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _sentence(words: str) -> str:
    """With a capital letter and a full stop."""
    text = words.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"
