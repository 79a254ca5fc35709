"""The audit log as people read it, and the proof that nobody has changed it.

The chain is checked from where it was last found whole (a mark), and once a UTC day from its beginning. That its end
was not cut off is known from the newest entry's hash, which stands in a mark and in each backup as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from core.config import Settings
from core.domain.audit_chain import HEAD, broken_link
from core.domain.candles import DAY_MS, to_datetime, to_ms
from core.ports import ChatStore, Clock, Ledger
from core.services.faults import Faults

VERIFIED = "audit:verified"
"""The mark of the last entry up to which the chain was found whole, and when all of it was (epoch ms)."""

PART = 500  # entries read at once
MOST_READ = 4_000  # entries that one page folds together

Kind = Literal["change", "command", "look", "refused", "stranger"]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line: an entry, or several alike folded into one (``count``), whose newest it then names."""

    kind: Kind
    at: datetime
    by: str
    action: str
    detail: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Chain:
    """Whether the log is as it was written. ``broken``: the first entry that is not, 0 with a ``reason`` of its own."""

    entries: int
    broken: int | None
    reason: str
    whole_at: datetime | None  # when all of it was last checked

    @property
    def holds(self) -> bool:
        return self.broken is None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """``older`` names the entry behind which the next page begins; None on the last one."""

    lines: tuple[AuditLine, ...]
    older: int | None
    chain: Chain


class AuditLog:
    """One log and its chain, of one store."""

    def __init__(self, settings: Settings, clock: Clock, ledger: Ledger, chat: ChatStore, faults: Faults) -> None:
        self._known = frozenset(settings.access.users)
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._faults = faults
        self._day = -1  # of the last whole check
        self._broken: Chain | None = None  # what it found, where that was no whole chain

    async def page(self, count: int, is_look: Callable[[str], bool], before: int | None = None) -> AuditPage:
        """The newest lines, or those behind an entry. ``is_look`` says of a command whether it only looks: folded."""
        chain = await self.check()
        lines: list[AuditLine] = []
        read = 0
        while read < MOST_READ:
            rows = await self._chat.audit_rows(PART, before)
            for row in rows:
                line = self._line(row, is_look)
                folded = _folded(lines[-1], line) if lines else None
                if folded is not None:
                    lines[-1] = folded
                elif len(lines) == count:
                    return AuditPage(tuple(lines), before, chain)
                else:
                    lines.append(line)
                before = int(str(row["entry_id"]))
            read += len(rows)
            if len(rows) < PART:
                return AuditPage(tuple(lines), None, chain)
        return AuditPage(tuple(lines), before, chain)

    def _line(self, row: Mapping[str, object], is_look: Callable[[str], bool]) -> AuditLine:
        action, detail = str(row["action"]), str(row["detail"])
        return AuditLine(
            self._kind(int(str(row["user_id"])), action, detail, is_look),
            to_datetime(int(str(row["time"]))),
            str(row["user_name"]),
            action,
            detail,
        )

    def _kind(self, user_id: int, action: str, detail: str, is_look: Callable[[str], bool]) -> Kind:
        if action == "refused":
            return "refused" if user_id in self._known else "stranger"
        if action != "command":
            return "change"
        return "look" if is_look(detail) else "command"

    async def check(self) -> Chain:
        """Checks what is new since the last check; the whole where there was none."""
        return self._broken or await self._check(whole=False)

    async def review(self) -> None:
        """Once a UTC day the whole chain; an alert where it does not hold."""
        day = to_ms(self._clock.now()) // DAY_MS
        if day == self._day:
            return
        chain = await self._check(whole=True)
        self._day, self._broken = day, None if chain.holds else chain
        if chain.holds:
            await self._faults.cleared("audit", "The audit log is whole again")
        else:
            await self._faults.raised(
                "audit", "The audit log was changed", f"{chain.reason}. `julaba doctor` says more."
            )

    async def _check(self, *, whole: bool) -> Chain:
        head = json.loads(await self._ledger.mark(HEAD) or "{}")  # before the rows: what comes meanwhile is behind it
        kept = json.loads(await self._ledger.mark(VERIFIED) or "{}")
        start = {} if whole else kept
        walk = _Walk(int(start.get("entry_id", 0)), str(start.get("hash", "")), int(start.get("entries", 0)), head)
        while not walk.done:
            walk.take(await self._chat.audit_from(walk.entry_id, PART))
        now = to_ms(self._clock.now())
        whole_at = now if not start else kept.get("whole_at")
        if walk.broken is None and (walk.entry_id != kept.get("entry_id") or whole_at != kept.get("whole_at")):
            mark = {"entry_id": walk.entry_id, "hash": walk.hash, "entries": walk.entries, "whole_at": whole_at}
            await self._ledger.set_mark(VERIFIED, json.dumps(mark))
        return Chain(walk.entries, walk.broken, walk.reason, to_datetime(whole_at) if whole_at else None)


class _Walk:
    """Along the chain, part by part, from an entry that is known (0: from the beginning)."""

    def __init__(self, entry_id: int, digest: str, entries: int, head: Mapping[str, Any]) -> None:
        self.entry_id, self.hash, self.entries = entry_id, digest, entries
        self.broken: int | None = None
        self.reason = ""
        self.done = False
        self._head = head
        self._met = not head

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The next entries, the oldest first, the first of them the one known last."""
        known, new = self._known(rows)
        if not known:
            return
        self._meet(rows)
        if (bad := broken_link(new, self.hash)) is not None:
            self._break(bad, f"entry {bad} is not what was written, or the one before it is gone")
            return
        self.entries += len(new)
        if new:
            self.entry_id, self.hash = int(new[-1]["entry_id"]), str(new[-1]["hash"])
        if len(rows) < PART:
            self.done = True
            if not self._met:
                self._break(
                    self.entry_id,
                    f"the log ends at entry {self.entry_id}, and entry {self._head['entry_id']} was written",
                )

    def _known(self, rows: Sequence[Mapping[str, Any]]) -> tuple[bool, Sequence[Mapping[str, Any]]]:
        if self.entry_id == 0:
            return True, rows
        first = rows[0] if rows else None
        if first is None or first["entry_id"] != self.entry_id or first["hash"] != self.hash:
            self._break(self.entry_id, f"entry {self.entry_id} is not what it was when it was checked, or is gone")
            return False, ()
        return True, rows[1:]

    def _meet(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if row["entry_id"] == self._head.get("entry_id") and row["hash"] == self._head.get("hash"):
                self._met = True

    def _break(self, entry_id: int, reason: str) -> None:
        self.broken, self.reason, self.done = entry_id, reason, True


def _folded(above: AuditLine, line: AuditLine) -> AuditLine | None:
    """Strangers who come one after the other are one line, and so are one person's looks."""
    alike = above.kind == line.kind and (line.kind == "stranger" or (line.kind == "look" and above.by == line.by))
    return replace(above, count=above.count + 1) if alike else None
