"""Secrets from the environment or ``.env``. Apart from the settings, and loaded only by commands that need one."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError


class Secrets(BaseSettings):
    """What must never be printed: masked by pydantic in every repr. Empty strings count as missing."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    telegram_bot_token: SecretStr | None = None
    gemini_api_key: SecretStr | None = None
    julaba_ping_url: SecretStr | None = None  # a dead man's switch: who knows it can silence the alarm

    @field_validator("julaba_ping_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("JULABA_PING_URL must begin with https:// or http://")
        return value


def load_secrets(env_file: Path | None = Path(".env")) -> Secrets:
    """Secrets from the environment, else from ``.env``. Raises SettingsError where that is no UTF-8 text, or wrong."""
    try:
        # utf-8-sig: some editors begin a file with a mark that would become part of the first name.
        return Secrets(_env_file=env_file, _env_file_encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file} is not UTF-8 text; save it as such") from None
    except ValidationError:
        # Its own words would hold the value.
        raise SettingsError("JULABA_PING_URL must be an address that begins with https:// or http://") from None
