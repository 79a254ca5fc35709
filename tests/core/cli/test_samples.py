"""``julaba samples``: with candles only, with a ledger only, with both and with neither."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.core.cli.calling import answer, called, refused
from tests.core.services.test_stock import lived_through, shelf
from tests.ledgers import PAIRS, books

CONFIG = """
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}, {symbol: SOL/USDT}]
strategy: {adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


async def _lived(folder: Path) -> None:
    async with books(folder) as kept:
        await lived_through(kept)


def a_ledger(place: Path) -> None:
    asyncio.run(_lived(place / "data"))


def test_neither_candles_nor_a_ledger_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 1, "there is no ledger and there are no candles yet: `julaba fetch`", "samples")


def test_stored_candles_alone_give_the_rate_and_the_dates(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shelf(place / "data")
    found = answer(capsys, "samples")

    assert found["basis"] == "history"
    assert set(found["pairs"]) == set(PAIRS)
    assert found["counts"]["backtest signals"] > 0
    assert found["to_50"]["earliest"] < found["to_50"]["on"] < found["to_50"]["latest"]
    assert found["opens"] is None


def test_a_ledger_alone_speaks_of_what_was_lived(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ledger(place)
    found = answer(capsys, "samples", "--ledger", "data/julaba.sqlite")

    assert found["basis"] == "seen"
    assert found["live_outcomes"] == found["counts"]["trade"] + found["counts"]["shadow_signal"] > 0
    assert found["per_day"] == pytest.approx(found["live_outcomes"] / found["days"], rel=0.2)


def test_both_together_are_told_in_words_with_a_picture(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ledger(place)
    shelf(place / "data")
    code, out, err = called(capsys, "samples", "--ledger", "data/julaba.sqlite", "--png", "s.png")

    assert code == 0
    assert "these pairs' history gave" in out
    assert "50 live outcomes:" in out
    assert "with 2 more pairs: 50 on" in out
    dated = [line for line in out.splitlines() if line.startswith(("50 live", "200 live", "first possible"))]
    assert len(dated) == 3
    assert len({len(re.match(r"[^:]+: +", line)[0]) for line in dated}) == 1  # type: ignore[index]
    assert err == "picture written to s.png\n"
    assert (place / "s.png").read_bytes().startswith(b"\x89PNG")


def test_a_ledger_that_is_not_there_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 1, "there is no ledger other.sqlite", "samples", "--ledger", "other.sqlite")
