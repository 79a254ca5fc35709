"""Ask first: what a command would do is shown, and done by a tap on exactly what was shown.

The button carries a seal: a hash of the command with the state that was shown, and when. Where that is another one by
the time of the tap, or the tap comes late, the command is shown anew and nothing is done.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from julaba_tg.calls import Call, say
from julaba_tg.card import Card
from julaba_tg.keyboards import MAX_DATA
from julaba_tg.sending import Outgoing

GOOD_FOR = timedelta(minutes=10)
"""How long an answer to a preview counts: what it shows is that of then."""

CHANGED = "Things have changed since this was shown. This is how it is now:"
TOO_OLD = "That preview was too old. This is how it is now:"


@dataclass(frozen=True, slots=True)
class Seal:
    """What a button says of its preview. ``at``: epoch seconds of wall time."""

    digest: str
    at: int


@dataclass(frozen=True, slots=True)
class Preview:
    """A command as it would be done. ``line`` is what its button runs (``pair LINK/USDT off``), ``button`` its words.

    ``state`` is all that must still be the same at the tap. ``card`` shows it; it is given why it is shown anew, empty
    the first time. ``beside``: further buttons, below. ``changed``: the words where the state is another one.
    """

    line: str
    state: str
    card: Callable[[str], Card]
    button: str
    beside: tuple[Button, ...] = ()
    changed: str = CHANGED

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.line}|{self.state}".encode()).hexdigest()[:8]


class Confirming:
    """``wall_clock`` as in ``Chat``: how old an answer is, the phone's time says."""

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock

    async def ask(
        self, call: Call, preview: Preview, seal: Seal | None, do: Callable[[], Awaitable[Outgoing]]
    ) -> Outgoing | None:
        """Shows a command without a seal; does it where the seal is that of this preview.

        A preview that is another one now is shown in a message of its own: the old one may say how it ended.
        """
        if seal is None:
            return self._shown(preview, "")
        why = preview.changed if seal.digest != preview.digest else "" if self.is_fresh(seal.at) else TOO_OLD
        if why:
            await say(call.place, self._shown(preview, why))
            return None
        return await do()

    def now(self) -> int:
        """Epoch seconds of wall time."""
        return int(self._wall_clock().timestamp())

    def is_fresh(self, at: int) -> bool:
        return 0 <= self.now() - at <= GOOD_FOR.total_seconds()

    def _shown(self, preview: Preview, why: str) -> Outgoing:
        data = f"go:{preview.line} {preview.digest} {self.now()}"
        rows = [[Button(preview.button, callback_data=data, style=KeyboardButtonStyle.DANGER)]]
        if len(data.encode()) > MAX_DATA:
            rows = []  # nothing to tap: it cannot be done from here
        if preview.beside:
            rows.append(list(preview.beside))
        return Outgoing(preview.card(why), Keyboard(rows) if rows else None)


def unsealed(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], Seal | None]:
    """A command's own words, and the seal behind them where there is one."""
    if len(arguments) >= 2 and re.fullmatch("[0-9a-f]{8}", arguments[-2]) and re.fullmatch("[0-9]{10}", arguments[-1]):
        return arguments[:-2], Seal(arguments[-2], int(arguments[-1]))
    return arguments, None
