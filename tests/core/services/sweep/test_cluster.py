"""The same sweep on a real Dask cluster of two worker processes, one of them killed in the middle."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from core.errors import JulabaError, UsageError
from core.services.sweep.cluster import on_cluster
from core.services.sweep.evaluate import Source
from core.services.sweep.plan import Chunk, Ground
from core.services.sweep.pools import Done, in_this_process
from core.services.sweep.run import run_sweep
from tests.core.services.sweep.shelf import candles, quiet, small_sweep, stored
from tests.core.services.sweep.test_run import MANY


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        memory_limit=0,
    ) as found:
        yield found


def worker_pids(cluster: Any) -> list[int]:
    return [nanny.pid for nanny in cluster.workers.values() if nanny.pid]


class Killing:
    """A pool that kills one worker when a part is done, and all that live three parts later."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.killed: list[int] = []

    def __call__(self, ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
        for done, result in enumerate(on_cluster(self.cluster.scheduler_address)(ground, source, chunks)):
            for pid in {0: worker_pids(self.cluster)[:1], 3: worker_pids(self.cluster)}.get(done, []):
                if pid not in self.killed:
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)
            yield result


def test_workers_lost_in_the_middle_change_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    """With one lost the other has the candles still; with all lost they are sent anew."""
    sweep = small_sweep(sets=MANY)
    here = run_sweep(sweep, candles(), tmp_path / "here", in_this_process, quiet)
    pool = Killing(cluster)

    there = run_sweep(sweep, stored(tmp_path / "candles"), tmp_path / "there", pool, quiet)

    assert len(pool.killed) >= 2
    assert digest(there.results) == digest(here.results)


def test_workers_with_other_rules_are_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.sweep.cluster.rules_code", lambda: "another")
    sweep = small_sweep()

    with pytest.raises(JulabaError, match="another version of julaba"):
        next(on_cluster(cluster.scheduler_address)(sweep.ground, candles(), sweep.chunks()))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("address", ["foo", "", "tcp://foo", "nowhere://x:1", "tcp://a b:1", "http://x:8786/status"])
def test_what_is_no_address_is_refused_before_anything_is_tried(address: str) -> None:
    with pytest.raises(UsageError, match="is no address such as"):
        on_cluster(address)


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "tcp://dask.local:8786", "tls://[::1]:8786"])
def test_addresses_as_dask_writes_them_are_taken(address: str) -> None:
    assert callable(on_cluster(address))


def test_no_scheduler_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.sweep.cluster._ANSWER_S", 0.2)
    sweep = small_sweep()

    with pytest.raises(JulabaError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        next(on_cluster("tcp://127.0.0.1:9")(sweep.ground, candles(), sweep.chunks()))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)

    with pytest.raises(UsageError, match=r"--dask needs Dask: .*pip install '\.\[cluster\]'"):
        on_cluster("tcp://127.0.0.1:9")
