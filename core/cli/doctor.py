"""``julaba doctor``: is everything there that Julaba needs, and what to do where it is not."""

from __future__ import annotations

import argparse
import asyncio

from pydantic import SecretStr

from core import bootstrap
from core.cli import Context
from core.config_file import DEFAULT_CONFIG
from core.services import doctor as checks


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def doctor(args: argparse.Namespace, context: Context) -> int:
    """A line for each thing looked at; exit 1 when one of them fails. Settings that cannot be read end it at once."""
    found = asyncio.run(_examine(context))
    ok = not any(check.state == "FAIL" for check in found)
    rows = [{"name": c.name, "state": c.state, "found": c.found, "advice": c.advice} for c in found]
    context.result({"checks": rows, "ok": ok}, "\n".join(map(str, found)))
    return 0 if ok else 1


async def _examine(context: Context) -> list[checks.Check]:
    settings, secrets, folder = context.settings, context.secrets, context.data_dir
    file = context.config_path or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    pairs = tuple(dict.fromkeys((*settings.traded, settings.btc)))
    store, models = bootstrap.candle_store(folder), bootstrap.model_files(folder)
    path, get = bootstrap.ledger_path(folder), bootstrap.get_json
    market = bootstrap.market(settings)
    telegram, gemini = settings.telegram, settings.gemini
    try:
        return await checks.together(
            [
                (["settings"], checks.aside(lambda: checks.settings_line(settings, file))),
                (["data"], checks.aside(lambda: checks.data_line(folder))),
                (["database"], checks.aside(lambda: checks.database_line(path, bootstrap.database_summary))),
                (["backup"], checks.aside(lambda: _backup_line(context))),
                (["candles"], checks.aside(lambda: checks.candles_line(store, pairs, settings.frame))),
                (["model"], checks.aside(lambda: checks.model_line(models))),
                (["exchange", "clock"], checks.exchange_lines(market, settings, bootstrap.computer_clock())),
                (
                    ["telegram"],
                    checks.alone(checks.telegram_line(telegram.base_url, _plain(secrets.telegram_bot_token), get)),
                ),
                (
                    ["gemini"],
                    checks.alone(
                        checks.gemini_line(gemini.base_url, gemini.model, _plain(secrets.gemini_api_key), get)
                    ),
                ),
            ]
        )
    finally:
        await market.close()


def _backup_line(context: Context) -> checks.Check:
    folder = context.data_dir
    newest, now = bootstrap.backup_folder(folder).newest(), bootstrap.computer_clock().now()
    return checks.backup_line(newest, bootstrap.ledger_path(folder).exists(), context.settings.backup.keep, now)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
