"""What the environment says of settings, and where secrets come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import PairSettings, Settings
from core.errors import SettingsError
from core.secrets import load_secrets
from tests.core.test_config import load, refusal

TOKEN = "1234567890:" + "AbCdEfGhIjKlMnOpQrStUvWxYz_-0123456"
KEY = "AIza" + "SyD-0123456789abcdefghijklmnopqrstu"


# Secrets.


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"telegram:\n  token: {TOKEN}\n", "telegram.token"),
        (f"TELEGRAM_BOT_TOKEN: {TOKEN}", "TELEGRAM_BOT_TOKEN"),
        (f"gemini: {{api_key: {KEY}}}", "gemini.api_key"),
        (f"gemini: {{apikey: {KEY}}}", "gemini.apikey"),
        (f"gemini: {{model: {KEY}}}", "gemini.model"),
        (f"mode: '{TOKEN}'", "mode"),
        (f"pairs: ['{TOKEN}']", "pairs.0"),
        (f"pairs: [{{symbol: '{KEY}'}}]", "pairs.0.symbol"),
        ("exchange: {secret: hunter2}", "exchange.secret"),
        ("exchange: {password: hunter2}", "exchange.password"),
    ],
)
def test_secrets_are_refused_and_never_repeated(tmp_path: Path, text: str, key: str) -> None:
    said = refusal(tmp_path, text)

    assert f"{key} looks like a secret" in said
    assert not any(secret in said for secret in (TOKEN, KEY, "hunter2"))


def test_an_empty_place_for_a_token_is_refused_too(tmp_path: Path) -> None:
    """Who keeps the key in the file will one day fill it in."""
    assert "looks like a secret" in refusal(tmp_path, "telegram: {token: ''}")


def test_secrets_come_from_the_environment_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    secrets = load_secrets(None)

    assert secrets.telegram_bot_token is not None
    assert secrets.telegram_bot_token.get_secret_value() == TOKEN
    assert TOKEN not in f"{secrets!r} {secrets} {secrets.model_dump()}"
    assert KEY not in f"{secrets!r} {secrets} {secrets.model_dump()}"


def test_secrets_come_from_the_env_file_and_the_environment_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\nGEMINI_API_KEY=from-the-file\nOTHER=1\n")
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    secrets = load_secrets(env_file)

    assert secrets.telegram_bot_token is not None
    assert secrets.gemini_api_key is not None
    assert secrets.telegram_bot_token.get_secret_value() == TOKEN
    assert secrets.gemini_api_key.get_secret_value() == KEY


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_editors_mark_at_the_files_start_hides_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    (tmp_path / ".env").write_text(f'TELEGRAM_BOT_TOKEN = "{TOKEN}" \r\n', encoding=encoding)
    secrets = load_secrets(tmp_path / ".env")

    assert secrets.telegram_bot_token is not None
    assert secrets.telegram_bot_token.get_secret_value() == TOKEN


def test_an_env_file_that_is_no_text_is_refused_unseen(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}", encoding="utf-16")

    with pytest.raises(SettingsError, match="is not UTF-8 text") as caught:
        load_secrets(tmp_path / ".env")
    assert TOKEN not in str(caught.value)


def test_a_section_without_keys_is_explained(tmp_path: Path) -> None:
    assert "paper is None: a section is wanted" in refusal(tmp_path, "paper:\n  # fee_rate: 0.001\n")


def test_empty_secrets_are_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "")
    monkeypatch.setenv("GEMINI_API_KEY", "")
    secrets = load_secrets(None)

    assert secrets.telegram_bot_token is None
    assert secrets.gemini_api_key is None


# The environment.


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, "paper: {fee_rate: 0.01, slippage_rate: 0.02}", JULABA__PAPER__FEE_RATE="0.001")

    assert settings.paper.fee_rate == 0.001
    assert settings.paper.slippage_rate == 0.02


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("JULABA__ACCESS__USERS", "{1001: approver}", "access.users", {1001: "approver"}),
        ("JULABA__ACCESS__USERS", '{"1001": approver}', "access.users", {1001: "approver"}),
        (
            "JULABA__ACCESS__USERS",
            '{"1001": "approver", "7": "viewer"}',
            "access.users",
            {1001: "approver", 7: "viewer"},
        ),
        ("JULABA__RULES__ALIGNMENT_TIMEFRAMES", '["5m", "1h"]', "rules.alignment_timeframes", ("5m", "1h")),
        ("JULABA__RULES__ALIGNMENT_TIMEFRAMES", "[15m]", "rules.alignment_timeframes", ("15m",)),
        ("JULABA__PAIRS", "[{symbol: eth, risk: 0.5}]", "pairs", (PairSettings(symbol="ETH/USDT", risk=0.5),)),
        ("JULABA__TIMEFRAME", "1m", "timeframe", "1m"),
        ("julaba__timeframe", "1h", "timeframe", "1h"),
        ("JULABA__CLOCK", "exchange", "clock", "exchange"),
        ("JULABA__EXCHANGE__BASE_URL", "http://127.0.0.1:8099/", "exchange.base_url", "http://127.0.0.1:8099"),
        ("JULABA__TELEGRAM__CHAT_ID", "null", "telegram.chat_id", None),
        ("JULABA__NOTIFY__SIGNAL", "none", "notify.signal", "none"),
    ],
)
def test_values_from_the_environment_are_read_as_yaml(
    tmp_path: Path, variable: str, value: str, path: str, expected: object
) -> None:
    found: Any = load(tmp_path, "", **{variable: value})
    for part in path.split("."):
        found = getattr(found, part)

    assert found == expected


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("JULABA__PAPER__FEE_RAT", "0.1", "unknown key paper.fee_rat; known here: start_balance, fee_rate"),
        ("JULABA__PAPR__FEE_RATE", "0.1", "unknown key papr"),
        ("JULABA__PAPER__FEE_RATE", "-1", "paper.fee_rate is -1"),
        ("JULABA__PAPER__FEE_RATE", "", "paper.fee_rate is None"),
        ("JULABA__TIMEFRAME__X", "1", "timeframe"),
        ("JULABA__ACCESS__USERS", "{1001: approver", "is not a valid value"),
        ("JULABA__ACCESS__USERS", "{1: viewer, 1: approver}", "is not a valid value"),
        ("JULABA__", "1", "unknown key"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, words: str) -> None:
    said = refusal(tmp_path, "", **{variable: value})

    assert variable in said
    assert words in said


def test_a_variable_cannot_make_a_section_of_a_value(tmp_path: Path) -> None:
    assert "timeframe is not a section" in refusal(tmp_path, "timeframe: 15m", JULABA__TIMEFRAME__X="1")


def test_other_variables_are_none_of_our_business(tmp_path: Path) -> None:
    assert load(tmp_path, "", JULABA_REAL_KLINES="/x", JULABAX__MODE="1", PAPER__FEE_RATE="9") == Settings()
