"""Pictures drawn where matplotlib lives, and kept: whoever looks at the same thing again gets the same bytes at once.

A picture's key is its function and the content of what it is drawn from, so it can be kept without ever being wrong.
Two who ask for one picture at the same time wait for one drawing.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from core.errors import JulabaError

log = logging.getLogger(__name__)

MOST = 64
"""Pictures kept; a chart of 1080 x 810 points takes 40 to 90 KB."""

MOST_BYTES = 8_000_000

Draw = Callable[..., Awaitable[bytes]]
"""``await draw(candle_chart, candles, ...)``: a function that gives a PNG, called somewhere else with its arguments."""


def load_canvas() -> bytes:
    """For the worker: what takes most of the first picture's time. Gives a picture that nobody looks at."""
    from core.reports.canvas import empty_figure, panel, png

    figure = empty_figure("Aa 0", 3.0, 0.5)
    panel(figure, (0.1, 0.1, 0.8, 0.8)).plot([0, 1], [0, 1])
    return png(figure)


class Pictures:
    """``draw`` is a ``Draw``. ``run`` calls a function in another process: ``Worker.run``.

    At most ``most`` pictures and ``most_bytes`` of them are kept, those asked for last.
    """

    def __init__(self, run: Draw, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._run = run
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._drawing: dict[str, asyncio.Task[bytes]] = {}

    async def warm(self) -> None:
        """Loads what drawing needs, so that the first picture comes as soon as any other. Never raises."""
        try:
            await self._run(load_canvas)
        except JulabaError as error:
            log.warning("pictures: %s", error)

    async def draw(self, function: Callable[..., bytes], *args: Any, **kwargs: Any) -> bytes:
        """The picture that ``function`` gives for these values; raises what it raises, and keeps no failure."""
        key = key_of(function, args, kwargs)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._drawing:
            self._drawing[key] = asyncio.create_task(self._drawn(key, function, args, kwargs))
            self._drawing[key].add_done_callback(_looked_at)
        # Whoever asked first may go away; the others, and the next one, still want the picture.
        return await asyncio.shield(self._drawing[key])

    async def _drawn(
        self, key: str, function: Callable[..., bytes], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        try:
            picture = await self._run(function, *args, **kwargs)
        finally:
            del self._drawing[key]
        self._keep(key, picture)
        return picture

    def _keep(self, key: str, picture: bytes) -> None:
        if len(picture) > self._most_bytes:
            return
        self._kept[key] = picture
        self._bytes += len(picture)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)


def _looked_at(drawing: asyncio.Task[bytes]) -> None:
    """Nobody may be left to hear of its failure: at an end, the process that draws goes first."""
    if not drawing.cancelled():
        drawing.exception()


def key_of(function: Callable[..., bytes], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The same for equal values, whichever objects hold them; in other cases a picture is merely drawn anew."""
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=5)
    # By default equal values that are two objects, or one object twice, are written differently.
    pickler.fast = True
    pickler.dump((function.__module__, function.__qualname__, args, sorted(kwargs.items())))
    return hashlib.sha256(content.getbuffer()).hexdigest()
