"""A sweep that stops and goes on gives the same bytes, whoever works and in whatever order."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from core.domain.candles import Pair
from core.errors import DataError, JulabaError
from core.services.sweep.evaluate import Source
from core.services.sweep.plan import Chunk, Ground, Sweep
from core.services.sweep.pools import Done, in_this_process, on_cores
from core.services.sweep.run import SweepRun, run_sweep
from tests.core.services.sweep.shelf import candles, noting, quiet, small_sweep, stored

MANY = ("adx_min=10:32:2", "stop_atr=1,2", "cooldown_bars=0,20,40,60", "rsi_long_max=55,100")  # 192 settings, 10 parts


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return small_sweep(sets=MANY)


@pytest.fixture(scope="module")
def straight(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> SweepRun:
    """The sweep without any interruption, in this process, on candles in memory."""
    return run_sweep(sweep, candles(), tmp_path_factory.mktemp("straight"), in_this_process, quiet)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Stopping:
    """A pool that works backwards and stops after some chunks, as a Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.asked: list[int] = []

    def __call__(self, ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
        self.asked = [chunk.number for chunk in chunks]
        for done, result in enumerate(in_this_process(ground, source, chunks[::-1])):
            if done == self.after:
                raise KeyboardInterrupt
            yield result


def test_what_is_done_is_kept_and_the_rest_is_done_next_time(sweep: Sweep, straight: SweepRun, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, candles(), tmp_path, Stopping(4), quiet)
    assert not (tmp_path / sweep.sweep_id / "results.parquet").exists()

    told: list[tuple[int, int]] = []
    rest = Stopping(99)
    run = run_sweep(sweep, candles(), tmp_path, rest, noting(told))

    assert rest.asked == [0, 1, 2, 3, 4, 5]
    assert (run.found, told[0], told[-1]) == (72, (72, 192), (192, 192))
    assert digest(run.results) == digest(straight.results)


def test_two_processes_and_candles_from_files_give_the_same_bytes(
    sweep: Sweep, straight: SweepRun, tmp_path: Path
) -> None:
    store = stored(tmp_path / "candles")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    run = run_sweep(sweep, store, tmp_path / "two", on_cores(2), quiet)

    assert digest(run.results) == digest(straight.results)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def workers() -> list[int]:
    """The children of this process that work chunks off, as Linux lists them."""
    children = [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
    return [pid for pid in children if b"LokyProcess" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_worker_that_dies_is_said_in_a_sentence_and_what_is_done_is_kept(
    sweep: Sweep, straight: SweepRun, tmp_path: Path
) -> None:
    def killing(ground: Ground, source: Source, chunks: Sequence[Chunk]) -> Done:
        for result in on_cores(2)(ground, source, chunks):
            yield result
            for pid in workers():
                os.kill(pid, signal.SIGKILL)

    store = stored(tmp_path / "candles")
    with pytest.raises(JulabaError, match="a worker process died"):
        run_sweep(sweep, store, tmp_path, killing, quiet)
    run = run_sweep(sweep, store, tmp_path, in_this_process, quiet)

    assert run.found >= 12
    assert digest(run.results) == digest(straight.results)


def test_a_finished_sweep_is_not_done_again(sweep: Sweep, straight: SweepRun) -> None:
    nobody = Stopping(0)
    before = digest(straight.results)

    again = run_sweep(sweep, candles(), straight.folder.parent, nobody, quiet)

    assert (nobody.asked, again.found) == ([], 192)
    assert digest(again.results) == before


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    """One bit in the middle, where only a checksum sees it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def exchanged(path: Path) -> None:
    """Another chunk's part under this name."""
    path.write_bytes(path.with_name("part-00003.parquet").read_bytes())


def shortened(path: Path) -> None:
    pq.write_table(pq.read_table(path, partitioning=None).slice(5), path)


@pytest.mark.parametrize("harm", [truncated, emptied, flipped, exchanged, shortened])
def test_a_broken_part_is_done_again(sweep: Sweep, straight: SweepRun, harm: object) -> None:
    assert callable(harm)
    before = digest(straight.results)
    harm(straight.folder / "parts" / "part-00001.parquet")
    (straight.folder / "parts" / "part-00002.parquet.tmp").write_bytes(b"left by a crash")
    once = Stopping(99)

    run = run_sweep(sweep, candles(), straight.folder.parent, once, quiet)

    assert once.asked == [1]
    assert run.found == 172
    assert digest(run.results) == before


def test_a_changed_candle_is_another_sweep_in_another_folder(sweep: Sweep, straight: SweepRun) -> None:
    pair = Pair.parse("LINK")
    held = candles()
    held[pair] = replace(held[pair], close=np.where(np.arange(len(held[pair])) == 3000, 101.0, held[pair].close))
    other = small_sweep(held, MANY)

    run = run_sweep(other, held, straight.folder.parent, in_this_process, quiet)

    assert run.found == 0
    assert run.folder != straight.folder


def test_two_at_the_same_sweep_do_not_get_into_each_others_way(sweep: Sweep, straight: SweepRun) -> None:
    with (
        FileLock(straight.folder / ".lock"),
        pytest.raises(DataError, match="this very sweep is under way in another process"),
    ):
        run_sweep(sweep, candles(), straight.folder.parent, in_this_process, quiet)


def test_the_table_has_a_row_for_everything_and_the_manifest_says_what_it_is(sweep: Sweep, straight: SweepRun) -> None:
    table = pq.read_table(straight.results)
    manifest = json.loads((straight.folder / "manifest.json").read_text())

    assert table.num_rows == 192 * 3 * 6
    assert table.column_names[:6] == ["setting", "adx_min", "stop_atr", "cooldown_bars", "rsi_long_max", "pair"]
    assert [str(t) for t in table.schema.types[:6]] == ["int32", "double", "double", "int64", "double", "string"]
    assert manifest["id"] == sweep.sweep_id == straight.folder.name
    assert manifest["settings"] == [list(s.values) for s in sweep.settings]
    assert set(manifest["candles"]) == {"LINK/USDT", "ETH/USDT", "SOL/USDT"}
    assert [s["segment"] for s in manifest["segments"]] == ["is", "oos"] * 3
