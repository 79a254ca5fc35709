"""How long the event loop is held up at a time, and by what."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds between two beats
KEEP = 60.0  # seconds over which the longest is shown
TELL_FROM = 2.0  # seconds
FRAMES = 4  # of the code that ran meanwhile, innermost last


class LagWatch:
    """``await run()`` beside the work. A thread looks at what runs when a beat does not come: the loop cannot."""

    def __init__(self) -> None:
        self._lags: deque[tuple[float, float]] = deque()  # (when, how long), loop seconds
        self._beat = 0.0
        self._ran = ""

    @property
    def longest(self) -> float:
        """Seconds of the longest hold-up within the last minute."""
        now = asyncio.get_running_loop().time()
        while self._lags and self._lags[0][0] < now - KEEP:
            self._lags.popleft()
        return max((lag for _, lag in self._lags), default=0.0)

    async def run(self) -> None:
        """Until cancelled."""
        time, ended = asyncio.get_running_loop().time, threading.Event()
        self._beat = time()
        watcher = threading.Thread(target=self._watch, args=(threading.get_ident(), ended, time), daemon=True)
        watcher.start()
        try:
            while True:
                began = self._beat = time()
                await asyncio.sleep(EVERY)
                self._note(time(), time() - began - EVERY)
        finally:
            ended.set()

    def _note(self, now: float, lag: float) -> None:
        self._lags.append((now, max(0.0, lag)))
        if lag >= TELL_FROM:
            log.warning("the event loop was held up for %.1f s%s", lag, f" by {self._ran}" if self._ran else "")
        self._ran = ""

    def _watch(self, loop_thread: int, ended: threading.Event, time: Callable[[], float]) -> None:
        while not ended.wait(EVERY):
            late = time() - self._beat - EVERY
            if late >= TELL_FROM / 2 and not self._ran and (frame := sys._current_frames().get(loop_thread)):
                places = traceback.extract_stack(frame)[-FRAMES:]
                self._ran = " > ".join(f"{p.name} ({p.filename.rsplit('/', 1)[-1]}:{p.lineno})" for p in places)
