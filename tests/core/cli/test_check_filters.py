from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.bootstrap import candle_store, ledger_path
from core.cli import Command, main
from core.domain.candles import Pair, to_datetime
from core.services.replay import replay
from tests.ledgers import books, market, settings
from tests.markets import M15, START, walk

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
    assert f"picture written to {shelf / 'f.png'}" in err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--days", "3", "--from", "2024-01-01"), 2, "--days and --from both say where to begin"),
        (("--seed", "-1"), 2, "--seed -1 must not be negative"),
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


LOOSE = "pairs: [{symbol: LINK}, {symbol: ETH}, {symbol: SOL}]\n" + (
    "strategy: {adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}\n"
    "variants: {open: {refused_regimes: []}, strict: {adx_min: 40}}\n"
)


@pytest.fixture
async def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in which two variants have chosen for ten days."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(LOOSE)
    rules = settings(variants={"open": {"refused_regimes": []}, "strict": {"adx_min": 40}})
    async with books(tmp_path) as kept:
        begin, end = START + 400 * M15.ms, START + 1_400 * M15.ms
        await replay(market(1_400), rules, kept.ledger, ReplayClock(to_datetime(START)), begin, end)
    path = ledger_path(tmp_path / "data")
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "julaba.sqlite").rename(path)
    return tmp_path


def test_variants_are_shown_with_their_last_look_whatever_the_ledger_is_called(
    lived: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "variants")
    found = answer(capsys, "variants")["variants"]

    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    assert [v["name"] for v in found] == ["open", "strict"]
    assert [v["order"] for v in found] == [1, 2]
    assert found[0]["looks"][-1]["n"] <= found[0]["outcomes"] < found[0]["next_look"]
    assert f"open: {found[0]['state']}   {found[0]['label']}, tried as number 1" in out
    assert f"look {len(found[0]['looks'])} on the first {found[0]['looks'][-1]['n']} of {found[0]['outcomes']}" in out
    assert "Nothing is switched by this" in out

    ledger_path(lived / "data").rename(lived / "other.sqlite")
    assert call(capsys, "variants")[0] == 1
    assert answer(capsys, "variants", "--ledger", str(lived / "other.sqlite"))["variants"] == found


def test_without_variants_it_is_said_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert call(capsys, "variants")[1].startswith("No variants are configured: name some under `variants`")
    assert answer(capsys, "variants") == {"variants": []}
