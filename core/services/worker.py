"""One process that holds the learning libraries, so that the bot's own stays small and its event loop free.

A job runs to its end before the next begins: whoever trains for seconds uses a worker of its own, not the one that
answers predictions. Pictures may share it: a prediction goes before all that wait, so it waits for one of them at most.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from core.errors import JulabaError
from core.services.views import Progress

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 10  # candles and chat go first

_progress_pipe: Connection | None = None  # in the child: where progress is written


class _Child(SpawnProcess):
    """A process that is deaf to Ctrl-C from its first instruction on, long before ``_prepare`` is reached."""

    def start(self) -> None:
        # Starting the tracker unblocks SIGINT again, so it must run before the child's own start.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Spawn(SpawnContext):
    """Spawns, and knows what it has spawned: a pool does not say, and cannot be asked to kill."""

    def __init__(self) -> None:
        super().__init__()
        self._children: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802 - multiprocessing's own name, a class there
        child = _Child(*args, **kwargs)
        self._children.append(child)
        return child

    def kill(self) -> None:
        for child in self._children:
            if child.is_alive():
                child.kill()


class _Turns:
    """One at a time, in the order they came; those in a hurry before all who wait."""

    def __init__(self) -> None:
        self._taken = False
        self._hurried: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, hurried: bool = False) -> AsyncIterator[None]:
        if self._taken:
            await self._wait(self._hurried if hurried else self._others)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it had just been given the turn that it no longer wants
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """To the next who still waits: nobody who comes now can get between."""
        for queue in (self._hurried, self._others):
            while queue:
                waiting = queue.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    return
        self._taken = False


class Worker:
    """A spawned process for CPU work: ``await worker.run(train_it, data)``. It starts with the first job.

    Functions, arguments and results are pickled, so functions must be importable by name. Use as ``async with``, or
    call ``close``. A worker that died is replaced when it is next used.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._spawn = _Spawn()
        self._progress: Connection | None = None
        self._alive: Connection | None = None
        self._turns = _Turns()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` gives, or raises, in the process. Raises JulabaError when the process dies under it."""
        async with self._turns.turn():
            return await self._finish(function, args, kwargs)

    async def run_next(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same before all that wait: what runs already is finished first."""
        async with self._turns.turn(hurried=True):
            return await self._finish(function, args, kwargs)

    async def run_with_progress(
        self, progress: Progress, function: Callable[Concatenate[Progress, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a function whose first parameter is a Progress; ``progress`` is called in this event loop."""
        async with self._turns.turn():
            self._start()
            loop, pipe = asyncio.get_running_loop(), self._progress
            assert pipe is not None
            number = pipe.fileno()

            def tell() -> None:
                while pipe.poll():
                    progress(*pipe.recv())

            loop.add_reader(number, tell)
            try:
                return await self._finish(_reporting, (function, args, kwargs), {})
            finally:
                loop.remove_reader(number)
                if not pipe.closed:
                    tell()

    async def close(self) -> None:
        """Kills the process, also in the middle of a job or of its imports; that job then raises JulabaError.

        Nothing is lost by it: what a job leaves on the disk appears there whole or not at all.
        """
        pool, self._pool = self._pool, None
        spawn, self._spawn = self._spawn, _Spawn()
        for pipe in (self._alive, self._progress):
            if pipe is not None:
                pipe.close()
        self._alive = self._progress = None
        if pool is not None:
            spawn.kill()
            # Not cancel_futures: a job that had not begun would then end its caller as if that had been cancelled.
            await asyncio.to_thread(pool.shutdown, wait=True)

    async def _finish(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        pool = self._start()
        try:
            # A pool that has just broken refuses at submit; one that breaks later does so in the future.
            return await asyncio.wrap_future(pool.submit(function, *args, **kwargs))
        except BrokenProcessPool as error:
            await self.close()
            raise JulabaError("the learning process ended before its work was done; please try again") from error

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._progress, said = self._spawn.Pipe(duplex=False)
            life, self._alive = self._spawn.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(1, mp_context=self._spawn, initializer=_prepare, initargs=(said, life))
        return self._pool


def _prepare(said: Connection, life: Connection) -> None:
    """In the child: step back behind the bot, leave Ctrl-C to it, and end when it ends, however it does."""
    global _progress_pipe  # noqa: PLW0603 - set once, when the process starts
    _progress_pipe = said
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()


def _end_with_parent(life: Connection) -> None:
    # Nothing is ever sent: the other end closes with the worker, or with the whole process when it is killed.
    try:
        life.recv_bytes()
    except (EOFError, OSError):
        os._exit(0)


def _reporting(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return function(_report, *args, **kwargs)


def _report(text: str, fraction: float) -> None:
    if _progress_pipe is not None:
        _progress_pipe.send((text, fraction))
