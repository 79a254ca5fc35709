"""The commands that need the chat, mounted beside the engine's."""

from __future__ import annotations

from core.cli import Command

_ENGINE = (
    *("core.adapters.ccxt_alone", "aiohttp", "core.adapters.candle_files", "aiosqlite"),
    *("telegram.ext", "julaba_tg.running"),
)

CHAT_COMMANDS: tuple[Command, ...] = (
    Command("run", "the bot: live loop and chat", "julaba_tg.cli_run", "run_arguments", "run", _ENGINE),
    Command(
        "demo", "everything at once, no token, no internet", "julaba_tg.cli_demo", "demo_arguments", "demo", _ENGINE
    ),
)
