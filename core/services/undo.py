"""Taking a change back: the last one that was not taken back yet, and only while things still stand as it left them.

Going back goes on: each /undo takes back the change before the last one taken back. An undo is a change like any other
and can itself be taken back, which brings the former change to life again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from core.config import Settings
from core.domain.candles import Pair, to_datetime
from core.domain.deeds import Deed
from core.errors import UsageError
from core.ports import ChatStore
from core.services.changes import CHANGEABLE, in_force
from core.services.changing import SETTING, SWITCH, Changer, Difference, Standing, difference_of, facts, with_facts
from core.services.views import Actor, Role

INSTEAD: dict[str, tuple[str, str]] = {
    "close": ("a trade closed by hand", "it stays closed; the next signal may open another"),
    "panic": ("all trades closed by hand", "they stay closed; /resume lets new ones in"),
    "retrain": ("a training", "/rollback goes back to the champion before"),
    "rollback": ("a rollback", "/promote asks for another champion"),
    "answer_approval": ("an answer to an approval", "/close ends a trade, /ml 0 a weight, /rules config a rule"),
    "weight": ("the weight set to 0", "/ml 0.25 asks an approver for it again"),
    "add_pair": ("a pair added", "/pairs takes it away again"),
    "remove_pair": ("a pair taken away", "/pairs suggest adds it again"),
    "resume": ("a limit's pause lifted", "/pause stops new trades"),
}
"""What cannot be taken back, by its action in the audit: in words, and what to do instead."""

LOOKED_BACK = 200  # audit entries
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class DeedView:
    """A change that could be taken back: who made it, and what taking it back would do. ``needs``: whose it is to."""

    deed_id: int
    subject: str
    by: str
    at: datetime
    differences: tuple[Difference, ...]
    needs: Role


@dataclass(frozen=True, slots=True)
class Final:
    """Something newer that cannot be taken back, and what to do instead."""

    what: str
    by: str
    at: datetime
    instead: str


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """``deed`` None: there is nothing to take back. ``blocked`` says why it cannot be now, empty where it can.

    ``redo`` is the newest undo, where that can be taken back instead.
    """

    deed: DeedView | None
    blocked: str = ""
    redo: DeedView | None = None
    finals: tuple[Final, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """What taking a change back did; ``deed_id`` is the number by which that can itself be taken back."""

    deed_id: int
    of: DeedView


class Undo:
    """``settings`` are the configured ones; ``stopped`` gives the pairs that the exchange does not trade, with why."""

    def __init__(
        self, settings: Settings, chat: ChatStore, changer: Changer, stopped: Callable[[], Mapping[Pair, str]]
    ) -> None:
        self._settings = settings
        self._chat = chat
        self._changer = changer
        self._stopped = stopped

    async def plan(self, deed_id: int | None = None) -> UndoPlan:
        """What would be taken back: the change of that number, or the last one. Raises UsageError: no such change."""
        if deed_id is not None:
            deed: Deed | None = await self._known(deed_id)
        else:
            deed = await self._chat.newest_deed(undo=False)
        redo = await self._redo(deed) if deed_id is None else None
        finals = await self._finals(deed) if deed_id is None else ()
        if deed is None:
            return UndoPlan(None, redo=redo, finals=finals)
        return UndoPlan(_view(deed), self._blocked(deed), redo, finals)

    async def undo(self, deed_id: int, actor: Actor) -> Undone:
        """Takes that change back, and no other. Raises UsageError: it no longer stands, or is not the actor's to."""
        deed = await self._known(deed_id)
        view = _view(deed)
        if not _may(actor.role, view.needs):
            raise UsageError(f"taking this back needs an {view.needs}, as the change itself did")

        def back(now: Standing) -> Standing:
            if reason := self._in_the_way(deed, now):
                raise UsageError(reason)
            return with_facts(now, deed.before)

        action = "redo" if deed.subject == "undo" else "undo"
        note = f"takes back change {deed.deed_id} by {deed.user_name}"
        changed = await self._changer.make(actor, action, back, undoes=deed.deed_id, note=note)
        if changed is None:
            raise UsageError("that is how it is already")
        return Undone(changed.deed, view)

    async def _known(self, deed_id: int) -> Deed:
        deed = await self._chat.deed(deed_id)
        if deed is None:
            raise UsageError(f"there is no change {deed_id}")
        return deed

    async def _redo(self, deed: Deed | None) -> DeedView | None:
        """The newest undo, where nothing was changed after it."""
        undone = await self._chat.newest_deed(undo=True)
        if undone is None or (deed is not None and undone.deed_id < deed.deed_id) or self._blocked(undone):
            return None
        return _view(undone)

    async def _finals(self, deed: Deed | None) -> tuple[Final, ...]:
        found = []
        for row in await self._chat.audit_rows(LOOKED_BACK):
            time, action = int(str(row["time"])), str(row["action"])
            if deed is not None and time < deed.time:
                break
            if action in INSTEAD and row["user_id"] != 0 and not _is_deed(action, str(row["detail"])):
                what, instead = INSTEAD[action]
                found.append(Final(what, str(row["user_name"]), to_datetime(time), instead))
        return tuple(found[:MOST_NAMED])

    def _blocked(self, deed: Deed) -> str:
        return self._in_the_way(deed, self._changer.standing())

    def _in_the_way(self, deed: Deed, now: Standing) -> str:
        """Why a change cannot be taken back as things stand; empty where it can."""
        if deed.undone_by is not None:
            return "that was taken back before"
        present = facts(now)
        standing = {name: present.get(name) for name in deed.after}
        if changed := difference_of(deed.after, standing):
            became = ", ".join(f"{d.name} is {d.after} now" for d in changed)
            return f"it was changed again since: {became}"
        after = with_facts(now, deed.before)
        for pair, switch in after.switches.items():
            if f"{SWITCH}{pair}" in deed.before and switch.enabled and pair in self._stopped():
                return f"{pair} cannot be switched on: {self._stopped()[pair]}"
        for change, reason in in_force(self._settings, after.controls.changes).lapsed:
            if f"{SETTING}{change.name}" in deed.before:
                return f"{change.name} cannot be as it was: {reason}"
        return ""


def needed(deed: Deed) -> Role:
    """Whose change it was to make, and so whose it is to take back."""
    rules = {f"{SETTING}{name}" for name in CHANGEABLE}
    return "approver" if rules & {*deed.before, *deed.after} else "operator"


def _may(role: Role, needs: Role) -> bool:
    return role == "approver" or (role == "operator" and needs == "operator")


def _view(deed: Deed) -> DeedView:
    return DeedView(
        deed_id=deed.deed_id,
        subject=deed.subject,
        by=deed.user_name,
        at=to_datetime(deed.time),
        differences=difference_of(deed.after, deed.before),
        needs=needed(deed),
    )


def _is_deed(action: str, detail: str) -> bool:
    """A pause of a person's own that was lifted can be taken back; a limit's cannot."""
    return action == "resume" and detail.startswith("trading:")
