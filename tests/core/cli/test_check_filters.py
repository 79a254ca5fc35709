from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.bootstrap import candle_store
from core.cli import Command, main
from core.domain.candles import Pair
from tests.markets import walk

MOUNTED = (
    Command("filters", "-", "core.cli.check_filters", "filters_arguments", "filters"),
    Command("variants", "-", "core.cli.check_filters", "variants_arguments", "variants"),
)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with 4000 candles of three pairs; no settings file beside it."""
    monkeypatch.chdir(tmp_path)
    store = candle_store(tmp_path / "data")
    for seed, name in enumerate(("LINK", "ETH", "BTC")):
        store.save(replace(walk(4_000, seed + 6), pair=Pair.parse(name)))
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments, MOUNTED)
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 0
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_tables_fit_a_hundred_columns_and_end_with_a_conclusion(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "config.yaml").write_text("variants: {a_long_name_ok: {adx_min: 20}}")

    code, out, err = call(capsys, "filters")

    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.startswith(("Earlier, 2024-01-01", "Later, ", "Whole range, 2024"))]
    assert sum(line.startswith("no CHOPPY ") for line in lines) == 4
    assert sum(line.startswith("'a_long_name_ok'* ") for line in lines) == 4
    assert "pure random walks of 400 candles (seed 7)" in out
    assert "Best supported change: " in out
    assert "warning: SOL/USDT has no 15m candles stored" in err


def test_json_holds_what_the_tables_show(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "filters", "--pairs", "LINK,ETH", "--seed", "3")

    assert (found["pairs"], found["png"]) == (["LINK/USDT", "ETH/USDT"], None)
    assert found["random_walks"]["seed"] == 3
    assert found["random_walks"]["choppy"] > 0.5
    assert {"killed", "killed_alone", "kept", "free", "low", "high"} <= set(found["filters"][0]["earlier"])


def test_days_and_a_range_choose_the_candles(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "filters", "--pairs", "LINK", "--days", "20", "--to", "2024-02-01")

    assert (found["from"], found["middle"], found["to"]) == (
        "2024-01-12T00:00:00Z",
        "2024-01-22T00:00:00Z",
        "2024-02-01T00:00:00Z",
    )


def test_the_picture_is_written(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "filters", "--pairs", "LINK,ETH", "--png", str(shelf / "f.png"))

    assert code == 0
    assert (shelf / "f.png").read_bytes().startswith(b"\x89PNG")
    assert f"the picture is {shelf / 'f.png'}" in err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--days", "3", "--from", "2024-01-01"), 2, "--days and --from both say where to begin"),
        (("--seed", "-1"), 2, "--seed -1 must be 0 or more"),
        (("--pairs", "XRP"), 1, "no 15m candles of XRP/USDT stored"),
        (("--pairs", "LINK", "--to", "2024-01-02"), 1, "no crossover of LINK/USDT has an outcome in this range"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    shelf: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, sentence: str
) -> None:
    found, out, err = call(capsys, "filters", *words)

    assert (found, out) == (code, "")
    assert sentence in err
