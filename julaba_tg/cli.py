"""The console script ``julaba``: the engine's commands and those that need the chat."""

from __future__ import annotations

import sys

from core.cli import Command
from core.cli import main as core_main

CHAT_COMMANDS: tuple[Command, ...] = (
    Command("run", "the bot: live loop and chat", "julaba_tg.cli_run", "run_arguments", "run"),
    Command("demo", "everything at once, no token, no internet", "julaba_tg.cli_demo", "demo_arguments", "demo"),
)


def main() -> None:
    sys.exit(core_main(extra=CHAT_COMMANDS))
