"""Parts of a round that comes again and again, each on its own: what one cannot do keeps no other from its turn."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from core.errors import JulabaError

log = logging.getLogger(__name__)

MOST_SKIPPED = 30
"""Rounds that a failing part sits out at most: a minute of upkeep."""


class Rounds:
    """``await rounds(parts)`` once for each round, always with the same parts.

    A part that fails is tried in the next round, then after a pause that grows with each failure: some take seconds
    of work before they fail. The same failure is logged once, until the part has succeeded again.
    """

    def __init__(self) -> None:
        self._failures: dict[int, int] = {}
        self._skip: dict[int, int] = {}
        self._said: dict[int, str] = {}

    async def __call__(self, parts: Sequence[Callable[[], Awaitable[None]]]) -> None:
        for number, part in enumerate(parts):
            if self._skip.get(number, 0) > 0:
                self._skip[number] -= 1
                continue
            try:
                await part()
            except Exception as error:  # the edge of a loop: a bad row or a refused disk must harm nothing else
                self._failed(number, error)
            else:
                self._failures.pop(number, None)
                self._said.pop(number, None)

    def _failed(self, number: int, error: Exception) -> None:
        failures = self._failures[number] = self._failures.get(number, 0) + 1
        self._skip[number] = min(2 ** min(failures, 10) - 2, MOST_SKIPPED)
        said = f"{type(error).__name__}: {error}"
        if said == self._said.get(number):
            return
        self._said[number] = said
        if isinstance(error, JulabaError):
            log.warning("upkeep: %s", error)
        else:
            log.error("upkeep failed", exc_info=error)
