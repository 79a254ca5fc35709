"""The console script ``julaba``. Here stands only what a Ctrl-C in the very first moment needs."""

from __future__ import annotations

import atexit
import gc
import signal
import sys

from core.interrupts import stop_at_once


def main() -> None:
    """The engine's commands and those that need the chat; all else is imported where Ctrl-C already ends it well."""
    signal.signal(signal.SIGINT, stop_at_once)
    # The first registered runs last. Behind it the interpreter only takes itself down, and would die of a Ctrl-C.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    from core.cli import main as core_main
    from julaba_tg.cli_table import CHAT_COMMANDS

    try:
        code = core_main(extra=CHAT_COMMANDS)
    finally:
        gc.freeze()  # all is closed: without it the interpreter's end looks through every object, for some seconds
    sys.exit(code)
