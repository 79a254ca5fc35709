"""Memory goes back to the system: in a process of its own, for what is set there stays."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.adapters import glibc
from core.adapters.glibc import Tidy

WORK = """
import sys, threading
from core.adapters.glibc import few_arenas, give_back

few = few_arenas() if sys.argv[1] == "few" else False
barrier = threading.Barrier(16)

def draw():
    barrier.wait()
    kept = [bytes(5_000) for _ in range(200)]
    barrier.wait()

threads = [threading.Thread(target=draw) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with open("/proc/self/maps") as maps:
    begins = [line.split("-")[0] for line in maps if " rw-p 00000000 00:00 0" in line]
arenas = sum(begin.endswith("000000") for begin in begins)
print(few, arenas, give_back())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's arenas")
def test_threads_share_two_arenas() -> None:
    def arenas(how: str) -> tuple[bool, int]:
        done = subprocess.run([sys.executable, "-c", WORK, how], capture_output=True, text=True, check=True)
        few, count, _ = done.stdout.split()
        return few == "True", int(count)

    (set_so, few), (left, many) = arenas("few"), arenas("many")
    assert set_so
    assert not left
    assert few < many


async def test_it_tidies_every_few_minutes_and_not_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tidied = [0.0], []
    monkeypatch.setattr(glibc, "give_back", lambda: tidied.append(now[0]))
    tidy = Tidy(lambda: now[0])

    for second in range(0, 700, 2):
        now[0] = float(second)
        await tidy()

    assert tidied == [300.0, 600.0]


def test_another_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())

    assert not glibc.few_arenas()
    assert not glibc.give_back()
