"""Chunks worked off on this machine, by as many processes as it has cores.

A Ctrl-C reaches every process of a terminal at once. The workers are deaf to it from their first instruction on: the
one who ordered the work ends them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from core.errors import JulabaError
from core.services.sweep.plan import Chunk, Ground

if TYPE_CHECKING:
    from concurrent.futures import Future

    from core.services.sweep.evaluate import Rows, Source

Done = Generator[tuple[Chunk, "Rows"], None, None]
Pool = Callable[[Ground, "Source", Sequence[Chunk]], Done]
"""Works chunks off and gives each with its rows, in whatever order they are done."""

# The processes are as many as the cores already.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_ONE_THREAD = dict.fromkeys(_THREADS, "1")

# Workers that are killed may leave a semaphore. Its tracker clears it away, which is no news for a person.
_QUIET = "ignore:resource_tracker:UserWarning"

_LOOK_S = 1.0  # how often a worker looks whether anybody waits for it


def in_this_process(ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
    """One after the other. A ``Pool``."""
    from core.services.sweep.evaluate import evaluate_chunk

    for chunk in chunks:
        yield chunk, evaluate_chunk(ground, source, chunk)


def on_cores(jobs: int | None = None) -> Pool:
    """A ``Pool`` of ``jobs`` processes through joblib; None is one per core, 1 is this process."""
    from joblib import cpu_count

    count = jobs or cpu_count()

    def work(ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
        processes = min(count, len(chunks))
        if processes < 2:
            return in_this_process(ground, source, chunks)
        return _in_processes(processes, ground, source, chunks)

    return work


def _in_processes(processes: int, ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
    # joblib's own executor, without `Parallel` around it: that shares large arrays through a folder, of which there
    # are none here, and a Ctrl-C while it is being cleared away is told by a traceback.
    from concurrent.futures import FIRST_COMPLETED, wait

    from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

    pool = ProcessPoolExecutor(processes, initializer=_begin_worker, initargs=(os.getpid(),), env=_ONE_THREAD)
    coming = iter(chunks)

    def ask(count: int) -> set[Future[tuple[Chunk, Rows]]]:
        return {pool.submit(_work, ground, source, chunk) for chunk in islice(coming, count)}

    try:
        before = _deaf()
        try:
            # No more than its queue holds: what waits outside of it would be looked for when all is ended.
            asked = ask(2 * processes)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while asked:
            done, asked = wait(asked, return_when=FIRST_COMPLETED)
            asked |= ask(len(done))
            for future in done:
                yield future.result()
    except TerminatedWorkerError:
        raise JulabaError(
            "a worker process died (killed, or out of memory); what is done is kept: "
            "call it again to go on, with fewer --jobs where memory is short"
        ) from None
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _deaf() -> set[signal.Signals]:
    """Blocks Ctrl-C in this thread, and so in every process and thread it starts from here on; gives the mask before.

    A Ctrl-C is held back for that moment, not lost.
    """
    from multiprocessing import resource_tracker as of_python

    from joblib.externals.loky.backend import resource_tracker as of_loky

    sys.warnoptions.append(_QUIET)  # a tracker is started with the options of this process
    try:
        for tracker in (of_python, of_loky):
            tracker.ensure_running()  # starting one unblocks Ctrl-C again, so both must run before
    finally:
        sys.warnoptions.remove(_QUIET)
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})}


def _begin_worker(parent: int) -> None:
    """``parent`` is told, not asked for: it may have been killed while the worker was starting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Nobody tells a worker that the process it works for was killed."""
    while os.getppid() == parent:
        threading.Event().wait(_LOOK_S)
    os._exit(1)


def _work(ground: Ground, source: Source, chunk: Chunk) -> tuple[Chunk, Rows]:
    from core.services.sweep.evaluate import evaluate_chunk

    return chunk, evaluate_chunk(ground, source, chunk)
