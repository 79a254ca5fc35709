"""A month without kills: memory, tasks and open files stay flat, the log is rotated, and no secret gets out."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from julaba_tg.phone.exchange import CandleSource
from tests.soak.month import CLOSES_A_DAY, Month
from tests.soak.people import SCRIPT
from tests.soak.runs import lenient
from tests.soak.world import GEMINI_KEY, PING_PATH, World, world

MOST_MB = 300.0
MOST_GROWTH_MB = 20.0  # over the last two thirds, by a straight line through all samples
MORE_TASKS, MORE_FILES = 5, 8  # in the last third than in the second, at most
SMALL_LOG = 6_000  # bytes after which the log is rotated here
EVERY = 24  # closes between two samples

LOOK = f"""
import asyncio, signal
from pathlib import Path
from julaba_tg import running
running.LOG_BYTES = {SMALL_LOG}
def told(*_):
    Path("tasks.new").write_text(str(len(asyncio.all_tasks())))
    Path("tasks.new").rename("tasks")
signal.signal(signal.SIGUSR1, told)
"""
"""Put before the process's own code: small log files, and a count of its tasks when it is asked for."""


@dataclass(frozen=True)
class Sample:
    day: float
    memory: float  # MB of the main process
    files: int
    tasks: int


@dataclass(frozen=True)
class Month30:
    """What was seen; ``leaks`` name where a secret was found, ``logs`` are the log's files."""

    samples: tuple[Sample, ...]
    leaks: tuple[str, ...]
    logs: int
    seconds: float

    def growth(self) -> float:
        """MB over the last two thirds."""
        late = self.samples[len(self.samples) // 3 :]
        days = np.array([s.day for s in late])
        slope = np.polyfit(days, np.array([s.memory for s in late]), 1)[0]
        return float(slope * (days[-1] - days[0]))

    def faults(self) -> list[str]:
        third = len(self.samples) // 3
        middle, last = self.samples[third : 2 * third], self.samples[2 * third :]
        found = [f"a secret is in {place}" for place in self.leaks]
        if (most := max(s.memory for s in self.samples)) > MOST_MB:
            found.append(f"{most:.0f} MB is more than {MOST_MB:.0f} MB")
        if (more := self.growth()) > MOST_GROWTH_MB:
            found.append(f"memory grew by {more:.0f} MB in the last two thirds, more than {MOST_GROWTH_MB:.0f} MB")
        for name, allowed in (("tasks", MORE_TASKS), ("files", MORE_FILES)):
            before, after = (max(getattr(s, name) for s in part) for part in (middle, last))
            if after > before + allowed:
                found.append(f"{name} grew from {before} to {after}")
        if self.logs < 2:
            found.append("the log was never rotated")
        return found


@dataclass
class Watch:
    """Looks at the process every now and then, while time stands still."""

    at: World
    samples: list[Sample] = field(default_factory=list)

    async def __call__(self, month: Month) -> None:
        if month.at % EVERY == 0:
            self.samples.append(await self._look(month.at / CLOSES_A_DAY))

    async def _look(self, day: float) -> Sample:
        assert self.at.process is not None
        pid, tasks = self.at.process.pid, self.at.folder / "tasks"
        tasks.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
        await self.at.until(tasks.exists, "the count of tasks")
        memory, files = usage(pid)
        return Sample(day, memory, files, int(tasks.read_text()))


def usage(pid: int) -> tuple[float, int]:
    """MB that a process holds, and how many files it has open."""
    proc = Path("/proc") / str(pid)
    held = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(held.split()[1]) / 1024, sum(1 for _ in (proc / "fd").iterdir())


async def remember(folder: Path, source: CandleSource, closes: int) -> Month30:
    """A month at full speed with five pairs and their trainings."""
    shutil.rmtree(folder, ignore_errors=True)
    began = asyncio.get_running_loop().time()
    with lenient():
        async with world(folder, source, more=", {symbol: POL/USDT}", first=LOOK) as at:
            watch = Watch(at)
            await at.launch()
            await Month(at, closes, after=watch).live(SCRIPT)
            await at.told()
            await at.end()
            return Month30(
                tuple(watch.samples),
                leaks(at),
                len(list((folder / "data" / "logs").glob("julaba.log*"))),
                asyncio.get_running_loop().time() - began,
            )


def leaks(at: World) -> tuple[str, ...]:
    """Where the token's secret part, Gemini's key or the ping's address can be read."""
    secrets = (at.phone.token.partition(":")[2], GEMINI_KEY, PING_PATH)
    said = {str(p.relative_to(at.folder)): p.read_text(errors="replace") for p in at.folder.glob("data/logs/*")}
    said |= {name: (at.folder / name).read_text(errors="replace") for name in ("stdout.log", "stderr.log")}
    for user in at.phone.chats.users:
        for message in at.phone.messages(user):
            said[f"message {message.message_id}"] = "\n".join((message.text, *message.history))
    return tuple(place for place, text in said.items() if any(secret in text for secret in secrets))


def table(found: Month30, rows: int = 10) -> str:
    """A few samples of the month as text."""
    step = max(1, len(found.samples) // rows)
    lines = ["  day   memory  files  tasks"]
    lines += [f"{s.day:5.1f}  {s.memory:4.0f} MB  {s.files:5}  {s.tasks:5}" for s in found.samples[::step]]
    return "\n".join(lines)
