"""What people change, and how it is kept: the change itself, the deed that can be taken back, the audit's entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.domain.account import Account
from core.domain.candles import Pair
from core.domain.ledger import Controls, Switch
from core.domain.messages import Event


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log. ``time`` in epoch ms; ``user_id`` 0 is the bot itself."""

    time: int
    user_id: int
    user_name: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deed:
    """A change that can be taken back: each thing it changed, in JSON's types, as it was and as it became.

    None among the values: that thing was not there. ``undone_by`` is the deed that has taken this one back. ``subject``
    is the command's name, ``undo`` for a deed that takes another back, ``redo`` for one that takes an undo back.
    """

    deed_id: int
    time: int
    user_id: int
    user_name: str
    subject: str
    before: Mapping[str, object]
    after: Mapping[str, object]
    undone_by: int | None = None


@dataclass(frozen=True, slots=True)
class Alteration:
    """All that one command of a person changes, written in one transaction or not at all.

    None or empty: that is left as it is. ``undoes`` is the deed that ``deed`` takes back.
    """

    controls: Controls | None = None
    switches: Mapping[Pair, Switch] = field(default_factory=dict)
    account: Account | None = None
    events: tuple[Event, ...] = ()
    entries: tuple[AuditEntry, ...] = ()
    deed: Deed | None = None
    undoes: int | None = None
