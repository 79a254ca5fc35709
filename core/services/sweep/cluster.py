"""Chunks worked off by a Dask cluster, which may be other machines: the candles travel to the workers once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from core.domain.candles import Candles
from core.errors import JulabaError, UsageError
from core.services.sweep.plan import Chunk, Ground, rules_code
from core.services.sweep.pools import Done, Pool

if TYPE_CHECKING:
    from core.services.sweep.evaluate import Rows, Source

_ADDRESS = re.compile(r"^(?:(?:tcp|tls|ws|wss|ucx)://)?[^\s/:]+:\d{1,5}$|^(?:tcp|tls)://\[[0-9a-f:.]+\]:\d{1,5}$")
_ANSWER_S = 10
_ROUNDS = 3  # how often candles are sent anew after every worker that held them was lost


def on_cluster(address: str) -> Pool:
    """A ``Pool`` on the Dask scheduler at ``address``, such as ``tcp://10.0.0.1:8786``.

    A worker lost in the middle costs the chunks it was at, which others do again. Raises UsageError without the extra
    ``cluster`` or for what is no address, JulabaError where nobody answers.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError("--dask needs Dask: .venv/bin/pip install '.[cluster]' where Julaba lies") from None

    if not _ADDRESS.match(address):
        # Dask would say so too, but only after it had tried for half a minute to close what it never opened.
        raise UsageError(f"--dask {address!r} is no address such as tcp://10.0.0.1:8786")

    def work(ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
        with _client(distributed, address) as client:
            yield from _work_on(client, ground, source, chunks)

    return work


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_ANSWER_S, set_as_default=False)
    except OSError as error:
        raise JulabaError(f"no Dask scheduler answers at {address} ({type(error).__name__})") from None


def _work_on(client: Any, ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
    from distributed import KilledWorker

    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise JulabaError("the Dask cluster has no workers; start some with `dask worker`")
    left = {chunk.number: chunk for chunk in chunks}
    try:
        for attempt in range(_ROUNDS):
            for chunk, rows in _round(client, ground, source, tuple(left.values()), last=attempt == _ROUNDS - 1):
                del left[chunk.number]
                yield chunk, rows
            if not left:
                return
    except KilledWorker:
        raise JulabaError(
            "the Dask cluster lost a worker again and again at the same chunk (out of memory?); "
            "what is done is kept: call it again to go on"
        ) from None
    except ModuleNotFoundError as error:
        raise JulabaError(f"the Dask cluster's workers cannot load {error.name}: install julaba there") from None


def _round(client: Any, ground: Ground, source: Source, chunks: Sequence[Chunk], *, last: bool) -> Done:
    """Whatever can be done with the candles sent once; ends early where they were lost with their workers."""
    from distributed import as_completed

    sent = client.scatter(_Parcel(_candles(ground, source)), broadcast=True, hash=False)
    by_key = {}
    try:
        for chunk in chunks:
            # pure=False: a name of its own, so that nobody's older result is taken for it.
            future = client.submit(_evaluate, ground, sent, chunk, rules_code(), pure=False)
            by_key[future.key] = (future, chunk)
        for future in as_completed([future for future, _ in by_key.values()], loop=client.loop):
            try:
                rows = future.result()
            except CancelledError:  # the candles went with the workers that held them
                if last:
                    raise JulabaError(
                        "the Dask cluster lost all its workers again and again; what is done is kept: call it again"
                    ) from None
                continue
            yield by_key[future.key][1], rows
            future.release()
    finally:
        client.cancel([future for future, _ in by_key.values()], force=True)
        sent.release()


class _Parcel:
    """Keeps Dask from taking a mapping apart into a future for each of its values."""

    def __init__(self, candles: Mapping[Any, Candles]) -> None:
        self.candles = candles


def _candles(ground: Ground, source: Source) -> Mapping[Any, Candles]:
    if isinstance(source, Mapping):
        return source
    return {pair: source.load(pair, ground.timeframe, None, ground.end_ms) for pair in ground.pairs}


def _evaluate(ground: Ground, parcel: _Parcel, chunk: Chunk, code: str) -> Rows:
    """On the worker, whose Julaba may be another one."""
    if rules_code() != code:
        raise JulabaError("a Dask worker has another version of julaba than this machine: install the same there")
    from core.services.sweep.evaluate import evaluate_chunk

    return evaluate_chunk(ground, parcel.candles, chunk)
