"""What came to the phone, held against the outbox: each alert once, and a double only where a kill made it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.soak.world import ALERTED, World


@dataclass(frozen=True)
class Doubles:
    """Messages that no row of the outbox names. ``unexplained`` ones are accounted for by no kill."""

    explained: int
    unexplained: tuple[str, ...]


def doubles(at: World) -> Doubles:
    """A kill between sending and noting leaves one message behind: the last of its life. Any other is a fault."""
    noted = {row[0] for row in at.rows("SELECT message_id FROM outbox WHERE message_id IS NOT NULL")}
    left = {m.message_id: m.text for m in at.phone.messages(ALERTED) if m.from_bot and m.message_id not in noted}
    last = {life.last_alert for life in at.lives if life.killed_while}
    unexplained = tuple(text.splitlines()[0] for number, text in left.items() if number not in last)
    return Doubles(sum(number in last for number in left), unexplained)


def untold(at: World) -> list[str]:
    """Events whose message is not on the phone, though the outbox says so, or that still wait."""
    shown = {m.message_id for m in at.phone.messages(ALERTED)}
    rows = at.rows("SELECT key, state, message_id FROM outbox")
    return [key for key, state, number in rows if state != "sent" or (number is not None and number not in shown)]
