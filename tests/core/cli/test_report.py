"""``julaba report``: the table of a ledger, as text, as JSON and as a picture."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.core.cli.calling import answer, called, refused
from tests.core.cli.test_samples import a_ledger, place
from tests.ledgers import books

__all__ = ["place"]


def test_without_a_ledger_it_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 1, "there is no ledger data/julaba.sqlite; `julaba run`", "report")


async def _empty(folder: Path) -> None:
    async with books(folder):
        pass


def test_a_ledger_without_a_candle_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").mkdir()
    asyncio.run(_empty(place / "data"))
    refused(capsys, 1, "has no candle yet", "report")


def test_the_report_is_told_in_words_and_drawn(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ledger(place)
    code, out, err = called(capsys, "report", "--png", "r.png")

    assert code == 0
    assert out.startswith("3 days since the first candle; 2 weeks: ")
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith(("after", "bootstrap  "))] == [
        "after 2 weeks",
        "after 4 weeks",
        "bootstrap",
    ]
    assert "Not known: alignment " in out.splitlines()[-1]  # a replayed ledger has no 5m candles
    assert err == "picture written to r.png\n"
    assert (place / "r.png").read_bytes().startswith(b"\x89PNG")


def test_the_json_has_every_metric_and_what_applies(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_ledger(place)
    found = answer(capsys, "report")

    assert found["period"] == "2 weeks"
    assert len(found["metrics"]) == 12
    assert {m["period"] for m in found["metrics"] if m["applies"]} == {"2 weeks", "bootstrap"}
    assert found["flags"] == []
    assert 0 < found["unknown"]["alignment"] <= found["unknown"]["signals"]
