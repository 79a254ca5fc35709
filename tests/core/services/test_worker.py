"""The worker process: results, errors, progress, and what happens when it dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.errors import JulabaError, ModelError, TooFewSamples
from core.services.views import Progress
from core.services.worker import Worker


def add(a: int, b: int) -> int:
    return a + b


def refuse(sentence: str) -> None:
    raise ModelError(sentence)


def die() -> None:
    os._exit(9)


def about_itself() -> tuple[int, int, bool]:
    return os.getpid(), os.nice(0), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def count_up(progress: Progress, steps: int) -> int:
    for step in range(steps):
        progress(f"step {step}", step / steps)
    return steps


def wait_for(gate: str) -> None:
    while not Path(gate).exists():
        pass


def hold_the_interpreter(mark: str) -> None:
    Path(mark).touch()
    re.match(r"(a+)+$", "a" * 40 + "b")  # backtracks for hours, and no other thread runs meanwhile


def lack(rows: int, needed: int) -> None:
    raise TooFewSamples(rows, needed)


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[Worker]:
    async with Worker() as found:
        yield found


async def test_results_and_errors_come_back_from_another_process(worker: Worker) -> None:
    assert await worker.run(add, 2, b=3) == 5
    with pytest.raises(ModelError, match="ML learning 31/50"):
        await worker.run(refuse, "ML learning 31/50")

    with pytest.raises(TooFewSamples) as few:
        await worker.run(lack, 31, 50)
    assert (few.value.rows, few.value.needed, str(few.value)) == (31, 50, "ML learning 31/50")

    pid, niceness, ignores = await worker.run(about_itself)
    assert pid != os.getpid()
    assert niceness >= min(19, os.nice(0) + 10)
    assert ignores


async def test_progress_arrives_in_order_and_before_the_result(worker: Worker) -> None:
    told: list[str] = []

    assert await worker.run_with_progress(lambda text, _: told.append(text), count_up, 50) == 50
    assert told == [f"step {i}" for i in range(50)]


async def test_a_dead_process_is_one_sentence_and_the_next_job_gets_a_new_one(worker: Worker) -> None:
    with pytest.raises(JulabaError, match="ended before its work was done"):
        await worker.run(die)

    assert await worker.run(add, 1, 1) == 2


async def test_jobs_wait_for_each_other(worker: Worker) -> None:
    assert await asyncio.gather(*(worker.run(add, i, i) for i in range(5))) == [0, 2, 4, 6, 8]


async def test_who_is_in_a_hurry_goes_before_all_that_wait(worker: Worker, tmp_path: Path) -> None:
    """A prediction waits for the picture that is being drawn, and for none of those that are still wanted."""
    done: list[str] = []

    async def job(name: str, hurried: bool) -> None:
        await (worker.run_next if hurried else worker.run)(add, 1, 1)
        done.append(name)

    gate = tmp_path / "gate"
    running = asyncio.create_task(worker.run(wait_for, str(gate)))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(job(f"picture {n}", False)) for n in range(3)]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(job("prediction", True)))
    await asyncio.sleep(0)
    gate.touch()
    await asyncio.gather(running, *waiting)

    assert done == ["prediction", "picture 0", "picture 1", "picture 2"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_who_goes_away_while_waiting_holds_up_nobody(worker: Worker, tmp_path: Path, after: int) -> None:
    """At any moment, also when the turn has just been given and not yet been taken."""
    gate = tmp_path / "gate"
    running = asyncio.create_task(worker.run(wait_for, str(gate)))
    await asyncio.sleep(0)
    leaver, patient = (asyncio.create_task(worker.run(add, n, n)) for n in (1, 2))
    await asyncio.sleep(0)
    gate.touch()
    await running
    for _ in range(after):
        await asyncio.sleep(0)
    leaver.cancel()

    assert await asyncio.wait_for(patient, 20) == 4
    assert await asyncio.wait_for(worker.run(add, 3, 3), 20) == 6


async def test_closing_ends_a_job_that_runs(tmp_path: Path) -> None:
    worker = Worker()
    await worker.run(add, 1, 1)
    job = asyncio.create_task(worker.run(wait_for, str(tmp_path / "never")))
    await asyncio.sleep(0)
    await worker.close()

    with pytest.raises(JulabaError):
        await asyncio.wait_for(job, 20)


async def test_closing_does_not_wait_for_a_process_that_is_still_importing() -> None:
    worker = Worker()
    job = asyncio.create_task(worker.run(add, 1, 1))
    await asyncio.sleep(0)  # the process has been started, and takes longer than this to come up

    began = time.monotonic()
    await worker.close()

    assert time.monotonic() - began < 0.2
    with pytest.raises(JulabaError):
        await job


async def test_closing_kills_a_job_that_does_not_let_go(tmp_path: Path) -> None:
    """The thread that watches for the parent's end cannot run while a library holds the interpreter."""
    worker, mark = Worker(), tmp_path / "begun"
    job = asyncio.create_task(worker.run(hold_the_interpreter, str(mark)))
    while not mark.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)

    began = time.monotonic()
    await worker.close()

    assert time.monotonic() - began < 1
    with pytest.raises(JulabaError):
        await job


def test_ctrl_c_right_after_the_start_leaves_no_trace_of_the_process(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole process group: the child must not answer it, not even before it is prepared."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio, os, signal
            from core.services.worker import Worker

            async def main():
                signal.signal(signal.SIGINT, lambda *_: None)  # one that the child does not inherit
                for wait in (0, 0.02, 0.05, 0.1):
                    async with Worker() as worker:
                        job = asyncio.create_task(worker.run(os.getpid))
                        await asyncio.sleep(wait)
                        os.killpg(0, signal.SIGINT)
                        assert await job != os.getpid()

            if __name__ == "__main__":
                asyncio.run(main())
        """)
    )
    parent = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )

    assert (parent.returncode, parent.stderr) == (0, "")


def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio, os, signal
            from core.services.worker import Worker

            async def main():
                worker = Worker()
                print(await worker.run(os.getpid), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

            if __name__ == "__main__":
                asyncio.run(main())
        """)
    )
    parent = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)

    assert parent.returncode == -signal.SIGKILL
    # run() has waited until nobody held the parent's stdout any more; what is left is the kernel's tidying up.
    deadline = time.monotonic() + 10
    while _alive(int(parent.stdout)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(int(parent.stdout))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc").is_dir()
