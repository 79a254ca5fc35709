"""Questions that a person decides: asked with their evidence frozen, answered once by an approver, applied whole.

Every kind of question goes the same way: it is stored with its card's lines, survives a restart, expires, and is ended
exactly once. What a yes changes is stored in the same transaction as the answer. ``Approvals.kinds`` says what that is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from core.config import Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.ledger import Controls
from core.domain.messages import ApprovalAsked, ApprovalEnded, Event
from core.errors import UsageError
from core.ports import ChatStore, Clock, StoredApproval
from core.services.bus import Bell
from core.services.loop import TradingLoop
from core.services.views import Actor, ApprovalKind, ApprovalView


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the card's first line, its evidence in sentences, and what a yes is about.

    ``body`` is JSON for the kind's own use; ``weight`` and ``model_id`` are what a card names beside it.
    """

    title: str
    lines: tuple[str, ...]
    weight: float | None = None
    model_id: str | None = None
    body: str = ""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a yes changes, stored together with the answer; None changes no controls."""

    controls: Controls | None = None
    events: tuple[Event, ...] = ()


def _nothing_more(stored: StoredApproval) -> str:
    return ""


async def _still_good(stored: StoredApproval) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question.

    ``apply`` gives what a yes changes, from today's controls; it must be quick and touch nothing itself, and raises
    OutdatedError for what has changed since ``outdated`` was asked. ``outdated`` says in half a sentence why a yes can
    no longer count (the card is then withdrawn), empty where it can. ``after``
    is awaited once the answer is stored: for what no transaction can hold, such as files. It must be able to be done
    again at the next start. ``again`` says how to ask anew, such as ``/ml 0.25``.
    """

    apply: Callable[[StoredApproval, Controls], Granted]
    outdated: Callable[[StoredApproval], Awaitable[str]] = _still_good
    after: Callable[[StoredApproval], Awaitable[None]] | None = None
    again: Callable[[StoredApproval], str] = _nothing_more


class OutdatedError(UsageError):
    """Raised by ``Kind.apply``: a yes can no longer count, for what its message says in half a sentence."""


class Approvals:
    """The questions of one store. ``kinds`` is filled by those who ask, before the first question."""

    def __init__(self, settings: Settings, clock: Clock, chat: ChatStore, loop: TradingLoop, bell: Bell) -> None:
        self._settings = settings
        self._clock = clock
        self._chat = chat
        self._loop = loop
        self._bell = bell
        self.kinds: dict[str, Kind] = {}

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
        elif to_ms(now) >= stored.expires_at:
            await self._end(stored, "expired", "nobody", now, "it had expired")
        elif yes and (reason := await kind.outdated(stored)):
            await self._end(stored, "withdrawn", "the bot", now, reason)
        else:
            answered = await self._end(stored, "approved" if yes else "rejected", actor.name, now, "")
        ended = await self._chat.approval(approval_id)
        assert ended is not None
        if not answered:
            raise UsageError(self._already(ended))
        if yes and kind.after is not None:
            await kind.after(ended)
        return approval_view(ended)

    async def withdraw(self, reason: str, *kinds: ApprovalKind) -> None:
        """Ends the waiting questions of these kinds."""
        for stored in await self._chat.open_approvals():
            if stored.kind in kinds:
                await self._end(stored, "withdrawn", "the bot", self._clock.now(), reason)

    async def expire(self) -> None:
        """Ends those that nobody has answered in time."""
        now = self._clock.now()
        for stored in await self._chat.open_approvals():
            if to_ms(now) >= stored.expires_at:
                await self._end(stored, "expired", "nobody", now, "")

    async def _end(self, stored: StoredApproval, state: str, by: str, now: datetime, note: str) -> bool:
        """Ends a card and applies what it grants; False where nothing is granted: it had ended, or is outdated."""
        event = ApprovalEnded(key=f"approval:{stored.approval_id}:ended", time=now, approval_id=stored.approval_id)
        outdated = False
        async with self._loop.changing:
            granted = Granted()
            if state == "approved":
                try:
                    granted = self._kind(stored).apply(stored, self._loop.memory.controls)
                except OutdatedError as error:
                    outdated, state, by, note = True, "withdrawn", "the bot", str(error)
            ended = await self._chat.answer(
                stored.approval_id, state, by, to_ms(now), note, granted.controls, [event, *granted.events]
            )
            if ended and granted.controls is not None:
                self._loop.memory.controls = granted.controls
        self._bell.ring()
        return ended and not outdated

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
        return f"{stored.answered_by} has {stored.state} this on {when}"


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
    )
