"""``julaba check day`` as it is typed: a table, one JSON object, and an exit code for what no cause explains."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.adapters.sqlite_database import Database
from core.bootstrap import candle_store
from tests.core.cli.calling import answer, called, refused
from tests.core.services.test_day_check import FIRST, SEED, WIDE, Adviser, days
from tests.ledgers import market

CONFIG = f"""
pairs: [{{symbol: LINK/USDT}}, {{symbol: ETH/USDT}}, {{symbol: SOL/USDT}}]
strategy: {{adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}}
rules: {{alignment: record, btc: record}}
paper: {{max_leverage: 1000}}
portfolio: {{{", ".join(f"{k}: {v}" for k, v in WIDE.items())}}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def lived(place: Path, rows: int = 100, **parts: Any) -> None:
    async def live() -> None:
        (place / "data").mkdir()
        async with days(place / "data", **parts) as found:
            await found.live(last=FIRST + rows)

    asyncio.run(live())


def test_the_last_whole_day_is_taken_and_a_clean_one_is_said_to_be(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(place)
    code, out, err = called(capsys, "check", "day")

    assert (code, err) == (0, "")
    assert out.splitlines() == ["2024-01-06: 4 signals, 3 outcomes", "", "Everything is as in the backtest."]


def test_differences_stand_in_a_table_and_in_one_object(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived(place, advisor=Adviser())
    code, out, _ = called(capsys, "check", "day", "--day", "2024-01-06")
    data = answer(capsys, "check", "day", "--ledger", "data/julaba.sqlite")

    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    assert out.splitlines()[-1] == "Every difference has its cause: Gemini 4."
    assert "not taken  Gemini" in out
    assert (data["ok"], data["day"], data["unknown"], data["causes"]) == (True, "2024-01-06", 0, {"Gemini": 4})
    assert data["differences"][0]["detail"] == "Gemini refuses at 0.90"


def test_what_has_no_cause_is_exit_1(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def spoil() -> None:
        async with Database(place / "data" / "julaba.sqlite") as db, db.transaction() as tx:
            await tx.execute("UPDATE legs SET r = r + 0.5")

    lived(place)
    asyncio.run(spoil())
    code, out, _ = called(capsys, "check", "day")

    assert code == 1
    assert out.splitlines()[-1] == "WITHOUT A CAUSE: 3 of 3 differences (unknown 3)."


def test_a_day_that_is_none_or_was_not_lived_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 1, "there is no ledger", "check", "day")
    lived(place)

    refused(
        capsys, 2, "--day 2024-01-06T01:00:00Z is no day: write it like", "check", "day", "--day", "2024-01-06T01:00"
    )
    refused(capsys, 1, "the ledger has nothing of 2024-03-01: it reaches from", "check", "day", "--day", "2024-03-01")


def test_candles_that_are_not_stored_are_asked_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived(place)
    for path in (place / "data" / "candles").iterdir():
        path.unlink()
    store = candle_store(place / "data")
    for window in list(market(960, seed=SEED).values())[1:]:
        store.save(window)

    refused(
        capsys, 1, "no candles of 2024-01-06 are stored for LINK/USDT; get them with `julaba fetch`", "check", "day"
    )


def test_an_empty_ledger_has_no_day(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived(place, rows=0)

    refused(capsys, 1, "has no candle yet", "check", "day")
