"""Questions that a person decides: asked with their evidence frozen, answered once by an approver, applied whole.

Every kind of question goes the same way: it is stored with its card's lines, survives a restart, expires, and is ended
exactly once. What a yes changes is stored in the same transaction as the answer. ``Approvals.kinds`` says what that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import get_args

from core.config import Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.deeds import AuditEntry
from core.domain.ledger import Controls, Effect
from core.domain.messages import ApprovalAsked, ApprovalEnded, ApprovalReminder, Event
from core.engine.advisory import UNANSWERED, Waiting
from core.engine.step import Book
from core.errors import JulabaError, UsageError
from core.ports import ChatStore, Clock, Ledger, StoredApproval
from core.services.bus import Bell
from core.services.changing import MOST_DETAIL, differences, standing
from core.services.loop import TradingLoop
from core.services.upkeep import Rounds
from core.services.views import Actor, ApprovalKind, ApprovalView

THE_BOT, NOBODY = Actor(0, "the bot", "operator"), Actor(0, "nobody", "operator")
"""Who ends what no person has answered."""

LOOK_EVERY = 5.0
"""Seconds of wall time between two looks at what has expired."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the card's first line, its evidence in sentences, and what a yes is about.

    ``body`` is JSON for the kind's own use; ``weight`` and ``model_id`` are what a card names beside it; ``picture`` a
    PNG that goes with it.
    """

    title: str
    lines: tuple[str, ...]
    weight: float | None = None
    model_id: str | None = None
    body: str = ""
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """What an end changes, stored together with it; None changes no controls. ``book`` is the one after ``effect``."""

    controls: Controls | None = None
    events: tuple[Event, ...] = ()
    effect: Effect | None = None
    book: Book | None = None


def _nothing_more(stored: StoredApproval) -> str:
    return ""


async def _still_good(stored: StoredApproval) -> str:
    return ""


def _no_more_than_that(stored: StoredApproval, reason: str) -> Granted:
    return Granted()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question.

    ``apply`` gives what a yes changes, from today's controls (``answered_by`` is set by then); it must be quick and
    touch nothing itself, and raises OutdatedError for what has changed since ``outdated`` was asked. ``outdated`` says
    in half a sentence why a yes can no longer count (the card is then withdrawn), empty where it can; it may raise
    UsageError where that cannot be told now, and the card waits on. ``after`` is awaited once the answer is stored: for
    what no transaction can hold, such as files. It must be able to be done again at the next start. ``again`` says how
    to ask anew, such as ``/ml 0.25``, and ``anew`` does it for a yes that came too late: the new question's number,
    None where there is nothing to ask. ``decline`` gives what any other end changes, for a reason in half a sentence;
    as quick as ``apply``. ``reminds``: once, when two thirds of its time are over.
    """

    apply: Callable[[StoredApproval, Controls], Granted]
    outdated: Callable[[StoredApproval], Awaitable[str]] = _still_good
    after: Callable[[StoredApproval], Awaitable[None]] | None = None
    again: Callable[[StoredApproval], str] = _nothing_more
    anew: Callable[[StoredApproval, Actor], Awaitable[int | None]] | None = None
    decline: Callable[[StoredApproval, str], Granted] = _no_more_than_that
    reminds: bool = True


class OutdatedError(UsageError):
    """Raised by ``Kind.apply``: a yes can no longer count, for what its message says in half a sentence."""


class Approvals:
    """The questions of one store. ``kinds`` is filled by those who ask, before the first question."""

    def __init__(
        self, settings: Settings, clock: Clock, ledger: Ledger, chat: ChatStore, loop: TradingLoop, bell: Bell
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._loop = loop
        self._bell = bell
        self.kinds: dict[str, Kind] = {}
        self._reminded: set[int] = set()  # the outbox keeps one of each key, over restarts too

    async def ask(self, kind: ApprovalKind, question: Question, asked_by: str) -> int:
        """Stores the question with its evidence and has it told; gives its number."""
        now = self._clock.now()
        stored = StoredApproval(
            approval_id=0,
            kind=kind,
            state="pending",
            title=question.title,
            lines=question.lines,
            weight=question.weight,
            line=self._loop.memory.controls.line,
            model_id=question.model_id,
            asked_by=asked_by,
            created_at=to_ms(now),
            expires_at=to_ms(now + timedelta(hours=self._settings.approvals.expire_hours)),
            body=question.body,
            picture=question.picture,
        )
        number = await self._chat.ask(
            stored, lambda given: ApprovalAsked(key=f"approval:{given}", time=now, approval_id=given)
        )
        self._bell.ring()
        return number

    async def open(self, kind: ApprovalKind) -> tuple[StoredApproval, ...]:
        """Those of a kind that wait for an answer, the oldest first."""
        return tuple(a for a in await self._chat.open_approvals() if a.kind == kind)

    async def view(self, approval_id: int) -> ApprovalView | None:
        stored = await self._chat.approval(approval_id)
        return approval_view(stored) if stored else None

    async def pending(self) -> tuple[ApprovalView, ...]:
        """Those that wait for an answer, the oldest first."""
        return tuple(approval_view(stored) for stored in await self._chat.open_approvals())

    async def waiting(self) -> int | None:
        """The number of the oldest question that waits for an answer."""
        return next((a.approval_id for a in await self._chat.open_approvals()), None)

    async def answer(self, approval_id: int, yes: bool, actor: Actor) -> ApprovalView:
        """Applies the answer, once. Raises UsageError for a stranger's wish, an unknown card or one that has ended."""
        if actor.role != "approver":
            raise UsageError("only an approver can answer this")
        stored = await self._chat.approval(approval_id)
        if stored is None:
            raise UsageError(f"there is no approval {approval_id}")
        now, kind = self._clock.now(), self._kind(stored)
        answered = False
        if stored.state != "pending":
            pass  # it has ended before: its end is told below
        elif not stored.intact:
            await self._end(stored, "withdrawn", THE_BOT, now, "its evidence is not what was asked with")
        elif to_ms(now) >= stored.expires_at:
            await self._end(stored, "expired", NOBODY, now, "it had expired")
        elif yes and (reason := await kind.outdated(stored)):
            await self._end(stored, "withdrawn", THE_BOT, now, reason)
        else:
            answered = await self._end(stored, "approved" if yes else "rejected", actor, now, "")
        ended = await self._chat.approval(approval_id)
        assert ended is not None
        if not answered:
            raise UsageError(await self._too_late(ended, yes, actor))
        if yes and kind.after is not None:
            await kind.after(ended)
        return approval_view(ended)

    async def _too_late(self, ended: StoredApproval, yes: bool, actor: Actor) -> str:
        """Why an answer did not count; a yes that can still be given is asked for anew."""
        said, anew = self._already(ended), self._kind(ended).anew
        if not yes or anew is None or ended.state not in {"expired", "withdrawn"}:
            return said
        try:
            number = await anew(ended, actor)
        except JulabaError as error:
            return f"{said}; it cannot be asked again: {error}"
        return f"{said}; it is asked again as approval {number}" if number is not None else said

    async def withdraw(self, reason: str, *kinds: ApprovalKind) -> None:
        """Ends the waiting questions of these kinds."""
        for stored in await self._chat.open_approvals():
            if stored.kind in kinds:
                await self._end(stored, "withdrawn", THE_BOT, self._clock.now(), reason)

    async def expire(self) -> None:
        """Ends those that nobody has answered in time."""
        now = self._clock.now()
        for stored in await self._chat.open_approvals():
            if to_ms(now) >= stored.expires_at:
                await self._end(stored, "expired", NOBODY, now, "")

    async def remind(self) -> None:
        """Says once of each question that still waits when two thirds of its time are over."""
        now = self._clock.now()
        due = [s for s in await self._chat.open_approvals() if _reminder_at(s) <= to_ms(now) < s.expires_at]
        events = [
            ApprovalReminder(key=f"approval:{s.approval_id}:reminder", time=now, approval_id=s.approval_id)
            for s in due
            if self._kind(s).reminds and s.approval_id not in self._reminded
        ]
        if events:
            await self._ledger.publish(events)
            self._reminded |= {event.approval_id for event in events}
            self._bell.ring()

    async def run(self) -> None:
        """Ends what has expired and reminds of what waits, beside everything else. Ends only by cancellation."""
        rounds = Rounds()
        while True:
            await rounds((self.expire, self.remind))
            await asyncio.sleep(LOOK_EVERY)

    async def _end(self, stored: StoredApproval, state: str, by: Actor, now: datetime, note: str) -> bool:
        """Ends a card and applies what it grants; False where nothing is granted: it had ended, or is outdated."""
        event = ApprovalEnded(key=f"approval:{stored.approval_id}:ended", time=now, approval_id=stored.approval_id)
        outdated = False
        async with self._loop.changing:
            kind = self._kind(stored)
            if state == "approved":
                try:
                    granted = kind.apply(replace(stored, answered_by=by.name), self._loop.memory.controls)
                except OutdatedError as error:
                    outdated, state, by, note = True, "withdrawn", THE_BOT, str(error)
            if state != "approved":
                granted = kind.decline(stored, _declined(state, by.name, note))
            ended = await self._chat.answer(
                stored.approval_id,
                state,
                by.name,
                to_ms(now),
                note,
                granted.controls,
                [event, *granted.events],
                granted.effect,
                self._entry(stored, state, by, granted),
            )
            if ended:
                self._take_up(granted)
        self._bell.ring()
        return ended and not outdated

    def _entry(self, stored: StoredApproval, state: str, by: Actor, granted: Granted) -> AuditEntry | None:
        """What the audit says of a person's answer: who, how, to what, and what it changed."""
        if by.user_id == 0:
            return None
        before = standing(self._loop)
        after = replace(before, controls=granted.controls or before.controls)
        changed = [d.sentence for d in differences(before, after)]
        detail = " · ".join([f"{stored.approval_id} {state}: {stored.title}", *changed])
        now = to_ms(self._clock.now())
        return AuditEntry(now, by.user_id, by.name[:64], "answer_approval", detail[:MOST_DETAIL])

    def _take_up(self, granted: Granted) -> None:
        """What the store has, the memory has too. ``changing`` is held."""
        memory = self._loop.memory
        if granted.controls is not None:
            memory.controls = granted.controls
        if granted.book is not None:
            memory.book = granted.book
        if granted.effect is not None and granted.effect.cursors:
            memory.cursors[granted.effect.step].update(granted.effect.cursors)

    def _kind(self, stored: StoredApproval) -> Kind:
        if stored.kind not in self.kinds:
            raise UsageError(f"approval {stored.approval_id} asks for a {stored.kind}, which this version cannot grant")
        return self.kinds[stored.kind]

    def _already(self, stored: StoredApproval) -> str:
        when = to_datetime(stored.answered_at or stored.created_at).strftime("%d %b %H:%M UTC")
        way = self._kind(stored).again(stored)
        again = f"; ask again with {way}" if way else ""
        if stored.state == "expired":
            return f"this has expired ({when}){again}"
        if stored.state == "withdrawn":
            return f"this was withdrawn on {when}: {stored.answer_note}{again}"
        return f"{stored.answered_by} {stored.state} this on {when}"


def _reminder_at(stored: StoredApproval) -> int:
    return stored.created_at + (stored.expires_at - stored.created_at) * 2 // 3


def _declined(state: str, by: str, note: str) -> str:
    words = {"rejected": f"{by} said no", "expired": UNANSWERED}
    return words.get(state, note or "it was withdrawn")


def approval_view(stored: StoredApproval) -> ApprovalView:
    assert stored.kind in get_args(ApprovalKind)
    return ApprovalView(
        approval_id=stored.approval_id,
        kind=stored.kind,  # type: ignore[arg-type]
        state=stored.state,  # type: ignore[arg-type]
        title=stored.title,
        lines=stored.lines,
        weight=stored.weight,
        line=stored.line,
        model_id=stored.model_id,
        asked_by=stored.asked_by,
        created_at=to_datetime(stored.created_at),
        expires_at=to_datetime(stored.expires_at),
        answered_by=stored.answered_by,
        answered_at=to_datetime(stored.answered_at) if stored.answered_at is not None else None,
        answer_note=stored.answer_note,
        evidence=stored.evidence_hash,
        picture=stored.picture,
        trade=Waiting.from_json(stored.body) if stored.kind == "trade" else None,
    )
