"""Settings: what is accepted, what is refused and in which words, and that no secret gets in or out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.config import PairSettings, Section, Settings
from core.config_file import ENV_PREFIX, load_settings, read_yaml
from core.domain.candles import Pair
from core.errors import SettingsError

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, text: str = "", **environ: str) -> Settings:
    """Settings from a file with this text and these variables."""
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environ)


def refusal(tmp_path: Path, text: str = "", **environ: str) -> str:
    """The one line with which the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, **environ)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.exit_code == 2
    return sentence


# The file at the root.


def test_the_root_file_says_exactly_the_defaults() -> None:
    assert load_settings(ROOT / "config.yaml", {}) == Settings()


def keys_of(value: object) -> object:
    """The shape of nested mappings: keys without values."""
    return {str(k): keys_of(v) for k, v in value.items()} if isinstance(value, Mapping) else None


def test_the_root_file_names_every_key_and_no_other() -> None:
    written = read_yaml(ROOT / "config.yaml")

    assert keys_of(written) == keys_of(Settings().model_dump())
    assert all(set(pair) == set(PairSettings.model_fields) for pair in written["pairs"])


def test_any_yaml_reader_reads_the_root_file_alike() -> None:
    """People and tools use other readers, with YAML 1.1's traps: what could be misread is quoted."""
    assert yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")) == read_yaml(ROOT / "config.yaml")


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings(None, {}) == Settings()


def test_the_file_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("timeframe: 1h")
    monkeypatch.chdir(tmp_path)

    assert load_settings(None, {}).timeframe == "1h"


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "---\n", "null"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Settings()


# What is refused, and how it is said.


def test_a_misspelt_key_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal(tmp_path, "paper:\n  fee_rat: 0.001\n")

    assert said.startswith(f"{tmp_path / 'config.yaml'}: unknown key paper.fee_rat; known here: ")
    assert "fee_rate, slippage_rate" in said


def test_a_misspelt_section_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal(tmp_path, "papr: {}")

    assert "unknown key papr; known here: pairs, timeframe" in said


def test_a_misspelt_key_of_a_pair_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, "pairs:\n  - {symbol: LINK/USDT, rsk: 1}\n")

    assert "unknown key pairs.0.rsk (LINK/USDT); known here: symbol, enabled, risk" in said


@pytest.mark.parametrize("environ", [{}, {"JULABA__PAPER__FEE_RATE": "0.001"}])
def test_a_pair_is_named_with_its_wrong_value(tmp_path: Path, environ: dict[str, str]) -> None:
    said = refusal(tmp_path, "pairs: [{symbol: LINK/USDT}, {symbol: SOL/USDT, risk: -1}]", **environ)

    assert "pairs.1.risk (SOL/USDT) is -1: Input should be greater than 0" in said


@pytest.mark.parametrize("text", ["pairs: [{risk: -1}]", "pairs: [5]", "pairs: [{symbol: 5, risk: -1}]"])
def test_a_pair_without_a_name_has_its_number(tmp_path: Path, text: str) -> None:
    assert "pairs.0" in refusal(tmp_path, text)


def test_user_ids_are_numbers(tmp_path: Path) -> None:
    said = refusal(tmp_path, "access: {users: {abc: approver}}")

    assert said.endswith("access.users.abc: user ids are numbers (@userinfobot tells yours)")


def test_a_negative_risk_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    said = refusal(tmp_path, "paper: {risk_per_trade: -0.02}")

    assert "paper.risk_per_trade is -0.02: Input should be greater than 0" in said


def test_several_faults_are_counted(tmp_path: Path) -> None:
    assert "(and 1 more)" in refusal(tmp_path, "paper: {fee_rate: -1, slippage_rate: 2}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("paper: {risk_per_trade: 0}", "paper.risk_per_trade"),
        ("paper: {risk_per_trade: 2}", "paper.risk_per_trade"),  # 2 percent, meant as 0.02
        ("paper: {start_balance: .nan}", "paper.start_balance"),
        ("paper: {start_balance: .inf}", "paper.start_balance"),
        ("paper: {start_balance: ten}", "paper.start_balance"),
        ("paper: {start_balance: true}", "paper.start_balance"),
        ("paper: {start_balance: null}", "paper.start_balance"),
        ("portfolio: {max_positions: 0}", "portfolio.max_positions"),
        ("portfolio: {max_positions: 2.5}", "portfolio.max_positions"),
        ("portfolio: {max_positions: true}", "portfolio.max_positions"),
        ("portfolio: {drawdown_warn: 0.3}", "portfolio"),
        ("candles: {history: 300, min_history: 400}", "candles"),
        ("exchange: {page: 501}", "exchange.page"),
        ("exchange: {base_url: ftp://example.com}", "exchange.base_url"),
        ("exchange: {base_url: example.com}", "exchange.base_url"),
        ("gemini: {neutral: 1.01}", "gemini.neutral"),
        ("gate: {min_outcomes: 20}", "gate.min_outcomes"),  # floors may be raised, never lowered
        ("gate: {min_accuracy: 0.4}", "gate.min_accuracy"),
        ("approvals: {weight_steps: [0.25, 1.5]}", "approvals.weight_steps.1"),
        ("timeframe: 7m", "timeframe"),
        ("timeframe: 15", "timeframe"),
        ("detail_timeframe: 15m", "detail_timeframe"),
        ("{timeframe: 5m, detail_timeframe: 5m}", "detail_timeframe"),
        ("timezone: Mars/Olympus", "timezone"),
        ("timezone: ../../etc/passwd", "timezone"),
        ("mode: live", "mode"),
        ("clock: on", "clock"),
        ("pairs: []", "pairs"),
        ("pairs: LINK/USDT", "pairs"),
        ("pairs: [{symbol: LINK/USDT}, {symbol: linkusdt}]", "pairs"),
        ("pairs: [{symbol: LINK/USDT, risk: -1}]", "pairs.0.risk"),
        ("pairs: [{enabled: true}]", "pairs.0.symbol"),
        ("pairs: [{symbol: 1000}]", "pairs.0.symbol"),
        ("pairs: [{symbol: 'a b c'}]", "pairs.0.symbol"),
        ("access: {users: {1001: god}}", "access.users.1001"),
        ("access: {users: {-5: viewer}}", "access.users"),
        ("access: {users: {owner: approver}}", "access.users.owner"),
        ("access: {users: [1001]}", "access.users"),
        ("paper:", "paper"),
        ("paper: 5", "paper"),
    ],
)
def test_impossible_values_are_refused_by_the_path_of_their_key(tmp_path: Path, text: str, key: str) -> None:
    said = refusal(tmp_path, text)

    assert said.removeprefix(f"{tmp_path / 'config.yaml'}: ").startswith(key)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paper: {fee_rate: 0.1, fee_rate: 0.2}", "line 1: the key 'fee_rate' is there twice"),
        ("mode: paper\nclock: system\nmode: signals\n", "line 3: the key 'mode' is there twice"),
        ("access:\n  users:\n    1001: viewer\n    1001: approver\n", "line 4: the key 1001 is there twice"),
        ("? [a, b]\n: c", "a list or mapping cannot be a key"),
        ("- a\n- b", "must hold `key: value` lines, found a list"),
        ("just words", "must hold `key: value` lines, found a str"),
        ("a: [1, 2", "line 1 is not valid YAML"),
        ("a: \tb: c", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "is not valid YAML"),
        ("a: &x [*x]", "line 1 is not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_files_that_are_no_settings_are_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe\x00mode")

    with pytest.raises(SettingsError, match="is not valid YAML"):
        load_settings(file, {})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no settings file .*missing\.yaml"):
        load_settings(tmp_path / "missing.yaml", {})


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path, {})


def test_other_pairs_keep_the_risk_they_are_configured_with(tmp_path: Path) -> None:
    config = load(tmp_path, "pairs: [{symbol: ETH/USDT, enabled: false, risk: 0.8}]")

    other = config.with_pairs([Pair.parse("XRP"), Pair.parse("ETH")])

    assert [(p.symbol, p.enabled, p.risk) for p in other.pairs] == [("XRP/USDT", True, 1.0), ("ETH/USDT", True, 0.8)]


@pytest.mark.parametrize(("timeframe", "days"), [("15m", 730), ("1h", 730), ("5m", 243), ("1m", 48)])
def test_a_short_timeframe_learns_from_fewer_days(tmp_path: Path, timeframe: str, days: int) -> None:
    assert load(tmp_path, f"timeframe: {timeframe}").bootstrap_ms // 86_400_000 == days


# YAML's traps.


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("pairs: [{symbol: NO}]", "pairs.0.symbol", "NO/USDT"),  # YAML 1.1: false
        ("pairs: [{symbol: on}]", "pairs.0.symbol", "ON/USDT"),
        ("pairs: [{symbol: LINK/USDT, enabled: off}]", "pairs.0.enabled", "False"),
        ("strategy: {breakeven_after_tp1: yes}", "strategy.breakeven_after_tp1", "True"),
        ("paper: {start_balance: 1e3}", "paper.start_balance", "1000.0"),  # YAML 1.1: a text
        ("paper: {start_balance: 12_500}", "paper.start_balance", "12500.0"),
        ("telegram: {poll_timeout: 012}", "telegram.poll_timeout", "12"),  # YAML 1.1: 10
        ("telegram: {chat_id: -1001234567890}", "telegram.chat_id", "-1001234567890"),
        ("telegram: {chat_id: ~}", "telegram.chat_id", "None"),
        ("gemini: {model: 'gemini-3.5-pro'}", "gemini.model", "gemini-3.5-pro"),
    ],
)
def test_bare_words_mean_what_they_look_like(tmp_path: Path, text: str, path: str, value: str) -> None:
    found: Any = load(tmp_path, text)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)

    assert str(found) == value


@pytest.mark.parametrize("word", ["on", "off", "yes", "no"])
def test_a_switch_where_a_level_is_wanted_is_refused(tmp_path: Path, word: str) -> None:
    assert f"notify.signal is {word!r}: Input should be 'loud'" in refusal(tmp_path, f"notify: {{signal: {word}}}")


# What the models promise.


def test_settings_cannot_be_changed() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.mode = "signals"  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError, match="frozen"):
        settings.paper.fee_rate = 0.5  # type: ignore[misc]


def test_a_pair_that_is_not_configured_has_the_full_risk() -> None:
    settings = Settings()

    assert [settings.risk_of(pair) for pair in settings.traded] == [1.0, 0.8, 0.7, 0.7, 0.7]
    assert settings.risk_of(settings.btc) == 1.0


def numbers() -> list[tuple[str, str]]:
    """(section, key) of every number among the settings."""
    return [
        (name, key)
        for name, section in Settings()
        if isinstance(section, Section)
        for key, value in section
        if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))
    ]


@given(st.sampled_from(numbers()), st.floats())
def test_a_number_is_taken_as_it_is_or_refused_by_its_name(place: tuple[str, str], value: float) -> None:
    section, key = place
    try:
        settings = load_settings(ROOT / "config.yaml", {f"{ENV_PREFIX}{section}__{key}".upper(): yaml_of(value)})
    except SettingsError as error:
        assert section in str(error)  # noqa: PT017 - either outcome is right, silence is not
    else:
        assert getattr(getattr(settings, section), key) == value


def yaml_of(value: float) -> str:
    return str(yaml.safe_dump(value)).splitlines()[0]


@given(
    st.dictionaries(st.text(min_size=1, max_size=12), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
)
def test_strange_keys_never_end_in_anything_but_a_sentence(content: dict[str, object]) -> None:
    environ = {f"{ENV_PREFIX}{key}": str(value) for key, value in content.items()}
    try:
        load_settings(ROOT / "config.yaml", environ)
    except SettingsError as error:
        assert str(error)  # noqa: PT017


def test_reading_settings_loads_no_heavy_library() -> None:
    script = "import sys, core.config; print([m for m in ('pandas', 'ccxt', 'xgboost', 'talib') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ}
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{calm: {}}", "variants.calm is the strategy's own"),
        ("{calm: {adx_min: 25}}", "variants.calm is the strategy's own"),
        ("{calm: {refused_regimes: [CHOPPY]}}", "variants.calm is the strategy's own"),
        ("{calm: {stop_atr: 3}}", "only chooses among candidates; stop_atr is the same"),
        ("{calm: {fast: 3}}", "unknown key variants.calm.fast; known here: adx_min"),
        ("{Calm One: {adx_min: 3}}", "variants.Calm One is 'Calm One': a name of at most 14 small letters"),
        ("{" + ", ".join(f"v{n}: {{adx_min: {n}}}" for n in range(5)) + "}", "holds 5, at most 4"),
    ],
)
def test_a_variant_that_cannot_be_followed_is_refused_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(f"variants: {text}")

    with pytest.raises(SettingsError, match=re.escape(words)):
        load_settings(tmp_path / "config.yaml", {})


def test_a_variant_changes_only_what_it_names() -> None:
    settings = Settings.model_validate({"variants": {"calm": {"adx_min": 20}}})

    assert settings.variants["calm"].strategy(settings.strategy) == settings.strategy.model_copy(
        update={"adx_min": 20.0}
    )
