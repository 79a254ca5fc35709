"""Chunks worked off on this machine, by as many processes as it has cores.

A Ctrl-C reaches every process of a terminal at once. The workers are deaf to it from their first instruction on: the
one who ordered the work ends them.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from core.errors import JulabaError
from core.services.sweep.plan import Chunk, Ground

if TYPE_CHECKING:
    from core.services.sweep.evaluate import Rows, Source

Done = Generator[tuple[Chunk, "Rows"], None, None]
Pool = Callable[[Ground, "Source", Sequence[Chunk]], Done]
"""Works chunks off and gives each with its rows, in whatever order they are done."""

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
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        # One thread each: the processes are as many as the cores already.
        begin = partial(_begin_worker, os.getpid())
        with parallel_config("loky", n_jobs=processes, inner_max_num_threads=1, initializer=begin):
            parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs", max_nbytes=None)
            before = _deaf()
            try:
                done = parallel(delayed(_work)(ground, source, chunk) for chunk in chunks)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            try:
                for result in done:  # noqa: UP028 - `yield from` would close it before the warning is silenced
                    yield result
            finally:
                with warnings.catch_warnings(action="ignore", category=UserWarning):
                    done.close()  # it warns of work given up, which is what was asked for
    except TerminatedWorkerError:
        raise JulabaError(
            "a worker process died (killed, or out of memory); what is done is kept: "
            "call it again to go on, with fewer --jobs where memory is short"
        ) from None
    finally:
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _deaf() -> set[signal.Signals]:
    """Blocks Ctrl-C in this thread, and so in every process and thread it starts from here on; gives the mask before.

    A Ctrl-C is held back for that moment, not lost.
    """
    from multiprocessing import resource_tracker as of_python

    from joblib.externals.loky.backend import resource_tracker as of_loky

    for tracker in (of_python, of_loky):
        tracker.ensure_running()  # starting one unblocks Ctrl-C again, so both must run before
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
