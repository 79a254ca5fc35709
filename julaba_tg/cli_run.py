"""``julaba run``: the bot for real."""

from __future__ import annotations

import argparse
import asyncio

from core.cli import Context, say
from core.errors import SettingsError


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own: everything is in the settings."""


def run(args: argparse.Namespace, context: Context) -> int:
    from julaba_tg.running import Stop, log_to_file, run_julaba

    settings, secrets = context.settings, context.secrets
    if secrets.telegram_bot_token is None:
        raise SettingsError(
            "there is no TELEGRAM_BOT_TOKEN; get one from @BotFather and put it into .env or the environment"
        )
    if not settings.access.users:
        raise SettingsError(
            "access.users names nobody, so nobody could command the bot; add your numeric Telegram id, such as "
            '`access: {users: {"123456789": approver}}` (@userinfobot tells it)'
        )
    if secrets.gemini_api_key is None:
        say("no GEMINI_API_KEY: the rules decide without Gemini")
    log_to_file(context.data_dir)
    token = secrets.telegram_bot_token.get_secret_value()

    async def ready() -> None:
        pairs = ", ".join(p.base for p in settings.traded)
        print(f"ready {pairs} on {settings.timeframe} candles, data in {context.data_dir}", flush=True)

    async def main() -> int:
        stop = Stop()
        stop.listen()
        await run_julaba(settings, secrets, token, context.data_dir, stop, ready)
        return stop.code

    return asyncio.run(main())
