"""``julaba check learning`` as it is typed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from core.domain.candles import Pair
from core.ml.features import FEATURE_SETS
from tests.core.cli.calling import answer, called, refused
from tests.markets import walk

LOOSE = """
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}]
strategy: {adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """3000 candles of LINK, ETH and BTC, and settings under which they give signals."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(LOOSE)
    store = candle_store(tmp_path / "data")
    for number, name in enumerate(("LINK", "ETH", "BTC")):
        store.save(replace(walk(3000, seed=30 + number), pair=Pair.parse(name)))
    return tmp_path


def test_a_table_a_sentence_and_a_picture(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "check", "learning", "--png", "all.png")

    assert code == 0
    assert (shelf / "all.png").read_bytes().startswith(b"\x89PNG")
    assert "picture written to all.png" in err
    for name in FEATURE_SETS:
        for kind in ("xgb", "forest", "logistic"):
            assert sum(line.startswith(f"{name} {kind} ") for line in out.splitlines()) == 3
    assert f"{9 * len(FEATURE_SETS)} variants were tried" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_the_object_holds_every_row(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "check", "learning", "--days", "20", "--pairs", "LINK/USDT")

    assert found["variants"] == len(found["trials"]) == 9 * len(FEATURE_SETS)
    assert found["pairs"] == ["LINK/USDT"]
    assert found["from"] == "2024-01-12T06:00:00Z"
    assert {t["features"] for t in found["trials"]} == set(FEATURE_SETS)
    assert found["png"] is None


def test_no_candles_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    refused(capsys, 1, "get them with `julaba fetch`", "check", "learning")
