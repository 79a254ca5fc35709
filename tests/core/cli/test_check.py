"""``julaba check`` as a person calls it: a table, a verdict, one object, and an exit code that a script can use."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.bootstrap import candle_store
from core.cli import build_parser, check, check_chance
from core.config import Settings
from core.domain.candles import Candles, FloatArray, Pair
from core.services.checks import lookahead, warmup
from core.services.checks.lookahead import Study
from tests.core.cli.calling import answer, called
from tests.markets import walk

LOOSE = """
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}]
strategy: {adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}
rules: {alignment: record, btc: record}
"""
RANGE = ("--from", "2024-01-05", "--to", "2024-01-12")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """1200 candles of LINK, ETH and BTC, and settings under which they trade."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(LOOSE)
    store = candle_store(tmp_path / "data")
    for number, name in enumerate(("LINK", "ETH", "BTC")):
        store.save(replace(walk(1200, seed=30 + number), pair=Pair.parse(name)))
    return tmp_path


def narrow(text: str) -> bool:
    return max(len(line) for line in text.splitlines()) <= 100


# -- lookahead --


def test_no_look_ahead_is_exit_0_with_a_table_and_a_sentence(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "check", "lookahead", *RANGE, "--cuts", "10")

    assert code == 0
    assert err == ""
    assert "LINK/USDT" in out
    assert "ETH/USDT" in out
    assert out.splitlines()[0] == "2024-01-05T00:00:00Z to 2024-01-12T00:00:00Z"
    assert "No look-ahead: cutting the candles at" in out
    assert narrow(out)


def peeking(settings: Settings) -> Study:
    def centred(candles: Candles) -> FloatArray:
        mean: FloatArray = (candles.close + np.append(candles.close[1:], np.nan)) / 2
        return mean

    return lookahead.strategy_study(settings, {"centred_mean": centred})


def test_a_planted_centred_mean_is_exit_1_and_named_with_row_and_values(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = lookahead.strategy_study
    monkeypatch.setattr(lookahead, "strategy_study", lambda s, extra=None: true(s, extra) if extra else peeking(s))

    code, out, _ = called(capsys, "check", "lookahead", *RANGE, "--cuts", "6")
    data_code, data_out, _ = called(capsys, "check", "lookahead", *RANGE, "--cuts", "6", "--json")
    data = json.loads(data_out)

    assert (code, data_code) == (1, 1)
    assert "LOOK-AHEAD: centred_mean of " in " ".join(out.split())
    assert narrow(out)
    assert data["ok"] is False
    leak = data["pairs"]["LINK/USDT"]["leaks"][0]
    assert leak["column"] == "centred_mean"
    assert leak["time"] in out
    assert leak["found"] is None  # NaN: at the cut there is no next candle


# -- warmup --


def test_warm_up_shows_a_row_per_length_and_says_whether_the_settings_do(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup, "LENGTHS", (60, 550))

    data = answer(capsys, "check", "warmup", "--rows", "10")
    code, out, _ = called(capsys, "check", "warmup", "--rows", "10")

    assert data["ok"] is True
    assert data["lengths"] == [60, 300, 500, 550]
    assert code == 0
    assert "Long enough: from 500 candles on" in out
    assert narrow(out)

    (shelf / "config.yaml").write_text(LOOSE + "candles: {history: 310, min_history: 300}\n")
    code, out, _ = called(capsys, "check", "warmup", "--rows", "10")
    assert code == 1
    assert "TOO SHORT: candles.history is 310, but 550 candles are needed" in out


def test_too_few_candles_for_warm_up_are_an_error_that_says_how_many(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = called(capsys, "check", "warmup")

    assert code == 1
    assert err == ("error: no pair has 4000 candles without a long gap in this range (most: 1200); take more days\n")


# -- parity --


def test_parity_compares_both_worlds(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "check", "parity", *RANGE, "--pairs", "LINK/USDT")

    assert data["ok"] is True
    assert data["bare"]["trades"] >= 1
    assert data["layers"]["closes"] == 7 * 96
    assert data["bare"]["differences"] == data["layers"]["differences"] == []
    assert not list((shelf / "data").glob("**/*.sqlite*"))


def test_a_difference_is_exit_1_with_pair_time_and_field(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.services.portfolio import run_portfolio

    def richer(*arguments: Any, **options: Any) -> Any:
        run = run_portfolio(*arguments, **options)
        return replace(run, trades=tuple(replace(t, pnl=t.pnl + 1) for t in run.trades))

    monkeypatch.setattr("core.services.checks.parity.run_portfolio", richer)

    code, out, _ = called(capsys, "check", "parity", *RANGE, "--pairs", "LINK/USDT")

    assert code == 1
    assert "DIFFERENT: pnl of LINK/USDT at 2024-01-" in " ".join(out.split())
    assert narrow(out)


# -- montecarlo --


def test_monte_carlo_gives_both_distributions_and_a_picture(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("check", "montecarlo", *RANGE, "--trials", "200", "--markets", "5", "--seed", "4")

    data = answer(capsys, *arguments, "--png", "out/mc.png")
    again = answer(capsys, *arguments)
    code, out, _ = called(capsys, *arguments)

    assert (shelf / "out/mc.png").read_bytes().startswith(b"\x89PNG")
    assert data["orders"]["trials"] == 200
    assert data["markets"]["markets"] == 5
    assert data["markets"]["days"] == 7
    assert list(data["markets"]["final"]) == ["p5", "p25", "p50", "p75", "p95"]
    assert 0 <= data["orders"]["drawn"]["below_start"] <= 1
    assert again == data | {"png": None}
    assert code == 0
    assert "In nine of ten cases the account ends between" in out
    assert narrow(out)


def test_an_account_that_takes_nothing_is_said_to(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "config.yaml").write_text(LOOSE.replace("adx_min: 10", "adx_min: 99"))

    code, out, _ = called(capsys, "check", "montecarlo", *RANGE, "--markets", "2")
    data = answer(capsys, "check", "montecarlo", *RANGE, "--markets", "2")

    assert code == 0
    assert "The account took no trade" in out
    assert data["orders"] is None
    assert data["markets"]["win_rate"]["p50"] is None


# -- significance --


def test_significance_gives_a_line_per_test_and_a_verdict(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "check", "significance", "--trials", "60")
    code, out, _ = called(capsys, "check", "significance", "--trials", "60")

    assert [(line["entries"], line["way"]) for line in data["lines"]] == [
        ("signals", "same holding"),
        ("signals", "same exits"),
        ("candidates", "same holding"),
        ("candidates", "same exits"),
    ]
    assert all(line["trials"] == 60 and 1 / 61 <= line["p"] <= 1 for line in data["lines"])
    assert code == 0
    assert "entries at random times" in out
    assert narrow(out)


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ((0.01, 0.04), "do better than entries at random times (p 0.010 and 0.040)"),
        ((0.01, 0.20), "do better than entries at random times in one way of looking only"),
        ((0.30, 0.97), "cannot be told from entries at random times"),
        ((0.96, 0.97), "do worse than entries at random times"),
    ],
)
def test_the_verdict_asks_both_ways(p: tuple[float, float], words: str) -> None:
    assert words in check_chance._against_chance(p)


# -- what they share --

CHECKS = ("lookahead", "warmup", "parity", "montecarlo", "significance")


@pytest.mark.parametrize("name", CHECKS)
def test_no_candles_are_one_line_that_says_what_to_do(
    name: str, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(capsys, "check", name, "--pairs", "SOL/USDT")

    assert (code, out) == (1, "")
    assert err.startswith("error: no 15m candles of SOL/USDT stored; get them with `julaba fetch`")
    assert err.count("\n") == 1


def test_a_range_behind_the_candles_and_a_pair_left_out_are_said(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = called(capsys, "check", "significance", "--days", "2", "--to", "2025-01-01")
    code, out, err = called(capsys, "check", "significance", "--pairs", "LINK,SOL", "--trials", "20")

    assert far == (
        1,
        "",
        "error: no 15m candles from 2024-12-30T00:00:00Z to 2025-01-01T00:00:00Z; take another range\n",
    )
    assert code == 0
    assert "warning: SOL/USDT has no 15m candles stored" in err
    assert "signals, same holding" in out


@pytest.mark.parametrize("name", CHECKS)
def test_two_beginnings_are_wrong_use(name: str, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = called(capsys, "check", name, "--days", "3", "--from", "2024-01-05")

    assert code == 2
    assert err == "error: --days and --from both say where to begin; give one of them\n"


@pytest.mark.parametrize("option", [("--trials", "0"), ("--seed", "-1"), ("--markets", "x"), ("--block-days", "0")])
def test_impossible_numbers_are_wrong_use(
    option: tuple[str, str], shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, "check", "montecarlo", *option)[0] == 2


def test_every_check_of_the_table_is_there() -> None:
    parser = build_parser([command for command in _commands() if command.name == "check"], "check")
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    verbs = next(a for a in action.choices["check"]._actions if isinstance(a, argparse._SubParsersAction))

    assert list(verbs.choices) == [verb.name for verb in check._VERBS]
    assert {*CHECKS, "filters", "variants"} <= set(verbs.choices)


def _commands() -> list[Any]:
    from core.cli import COMMANDS

    return list(COMMANDS)
