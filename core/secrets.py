"""Secrets from the environment or ``.env``. Apart from the settings, and loaded only by commands that need one."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError


class Secrets(BaseSettings):
    """What must never be printed: masked by pydantic in every repr. Empty strings count as missing."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    telegram_bot_token: SecretStr | None = None
    gemini_api_key: SecretStr | None = None


def load_secrets(env_file: Path | None = Path(".env")) -> Secrets:
    """Secrets from the environment, else from ``.env``. Raises SettingsError where that is no UTF-8 text."""
    try:
        # utf-8-sig: some editors begin a file with a mark that would become part of the first name.
        return Secrets(_env_file=env_file, _env_file_encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file} is not UTF-8 text; save it as such") from None
