"""Workers and Ctrl-C."""

import subprocess
import sys

ASKED = """
import signal
from joblib.externals.loky import get_reusable_executor
from core.services.sweep.pools import _deaf

_deaf()
blocked = get_reusable_executor(max_workers=1).submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
print(signal.SIGINT in blocked)
"""
LATE = """
import sys, threading
from core.services.sweep.pools import _begin_worker

_begin_worker(int(sys.argv[1]))
threading.Event().wait(30)
"""


def test_a_worker_is_deaf_to_ctrl_c_before_its_first_import() -> None:
    """In an interpreter of its own: what unblocks it are processes that start once only."""
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"


def test_a_worker_whose_master_was_killed_while_it_started_ends_too() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as master:
        master.wait()

    done = subprocess.run([sys.executable, "-c", LATE, str(master.pid)], capture_output=True, timeout=25, check=False)

    assert (done.returncode, done.stderr) == (1, b"")


LEFT_OVER = """
from core.services.sweep.pools import _deaf
_deaf()
from joblib.externals.loky.backend import resource_tracker
resource_tracker.register("/none-of-that-name", "semlock")
"""


def test_a_semaphore_that_killed_workers_left_is_cleared_away_in_silence() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_OVER], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
