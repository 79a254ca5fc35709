"""How the benchmark measures: one core, medians, whole processes with their greatest memory, and lines of a table."""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parent.parent.parent
RUNS = 5
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "VECLIB")


@dataclass(frozen=True)
class Line:
    """One line of the table. ``ours`` and ``theirs`` are in ``unit``.

    With ``goal`` "ratio" the figure held against ``must`` and ``aim`` is theirs / ours, and more is better; with "ours"
    it is ours, and less is better; with "tell" nothing is promised. ``note`` says what was left out or differs.
    """

    part: str
    what: str
    ours: float | None
    unit: str
    theirs: float | None = None
    goal: Literal["ratio", "ours", "tell"] = "tell"
    must: float | None = None
    aim: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.theirs / self.ours if self.theirs and self.ours else None

    @property
    def verdict(self) -> str:
        """ "aim", "must", "missed", or "-" where nothing is promised."""
        figure = self.ratio if self.goal == "ratio" else self.ours if self.goal == "ours" else None
        if figure is None or self.must is None:
            return "-"
        sign = 1 if self.goal == "ratio" else -1

        def met(limit: float | None) -> bool:
            return limit is not None and sign * (figure - limit) >= 0

        return "aim" if met(self.aim) else "must" if met(self.must) else "missed"

    @classmethod
    def from_json(cls, text: str) -> Line:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median of ``runs`` runs after one that warms up."""
    work()
    return median(work, runs)


def median(work: Callable[[], object], runs: int = RUNS) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def beside(ours: Callable[[], object], theirs: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """Medians of both, taken by turns, so that a machine that is busy for a while is busy for both."""
    one, other = [], []
    ours()
    for _ in range(runs):
        one += [median(ours, 1) for _ in range(4)]
        other.append(median(theirs, 1))
    return statistics.median(one), statistics.median(other)


def one_core() -> None:
    """Holds this process and its children to one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def environment() -> dict[str, str]:
    """The environment in which numeric libraries start no threads."""
    return os.environ | {f"{name}_NUM_THREADS": "1" for name in _THREADS} | {"PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Ran:
    """A process that has ended: wall time, greatest resident memory in MB, what it wrote to stdout and to stderr."""

    seconds: float
    peak_mb: float
    text: str
    remarks: str


# A process begins as a copy of the one that starts it, whose memory then counts as its own greatest: a small one in
# between starts and times it, and waits for this one child (getrusage would tell the greatest of all children so far).
_LAUNCHER = """
import os, sys, time
note, *arguments = sys.argv[1:]
began = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(arguments[0], arguments, os.environ), 0)
taken = time.perf_counter() - began
with open(note, "w") as file:
    file.write(f"{taken} {usage.ru_maxrss}")
sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
"""


def process(arguments: Sequence[str | Path], extra: Mapping[str, str] | None = None) -> Ran:
    """Runs a process to its end. Raises RuntimeError with what it complained of where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "note"
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, note, *(str(a) for a in arguments)],
            cwd=ROOT,
            env=environment() | dict(extra or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{arguments[0]} failed: {ran.stderr[-2000:]}")
        seconds, peak = note.read_text().split()
    scale = 1 / 2**20 if sys.platform == "darwin" else 1 / 1024
    return Ran(float(seconds), float(peak) * scale, ran.stdout, ran.stderr)


def python(module: str, *arguments: str | Path, extra: Mapping[str, str] | None = None) -> Ran:
    """The same for one of our modules under this interpreter."""
    return process([sys.executable, "-m", module, *arguments], extra)


def runs_of(start: Callable[[], Ran], runs: int = RUNS) -> tuple[float, float]:
    """Median seconds and greatest MB of several processes, after one that fills the disk's cache."""
    start()
    found = [start() for _ in range(runs)]
    return statistics.median(r.seconds for r in found), max(r.peak_mb for r in found)


def note_down(name: str, rows: Sequence[Sequence[object]]) -> Path:
    """Writes rows as CSV into bench-results/, which no repository keeps; the first row names the columns."""
    path = ROOT / "bench-results" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def say(*words: Any) -> None:
    """Progress goes to stderr, so that stdout holds results alone."""
    print(*words, file=sys.stderr, flush=True)
