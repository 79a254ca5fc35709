"""``julaba predict``: reasons in words and the nearest past signals, as text and as JSON."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core import bootstrap
from core.cli import main
from core.domain.candles import Candles, Pair, Timeframe
from tests.core.cli.calling import answer, called
from tests.core.ml.planted import QUARTER, START, table

LATER = 90 * 96  # candles: after the last signal that was learned from


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candles of LINK, and the rows to learn from, which lie before them."""
    folder = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(1)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.004, 400)))
    opened = np.concatenate(([10.0], close[:-1]))
    reach = np.exp(np.abs(rng.normal(0, 0.002, (2, 400))))
    times = START + (LATER + np.arange(400, dtype=np.int64)) * QUARTER
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    link = Candles(Pair.parse("LINK"), Timeframe.parse("15m"), times, opened, high, low, close, np.full(400, 9.0))
    bootstrap.candle_store(folder / "data").save(link)
    table(150, effect=1.0).to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture(params=["xgb", "forest", "logistic"])
def asked(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A champion of each kind."""
    tmp_path.joinpath("data").mkdir()
    tmp_path.joinpath("data/candles").symlink_to(folder / "data/candles")
    monkeypatch.chdir(tmp_path)
    arguments = ("train", "--data", str(folder / "rows.csv"), "--model", request.param)
    assert main(arguments) == 0


@pytest.mark.usefixtures("asked")
def test_reasons_have_words_and_neighbours_their_outcomes(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    found = answer(capsys, "predict", "LINK/USDT")

    adx = next(r for r in found["reasons"] if r["feature"] == "entry_adx")
    assert adx["words"] == f"ADX {adx['value']:.0f} {round(adx['log_odds'], 2) + 0.0:+.2f}"
    assert found["reasons"][-1]["words"].startswith("before anything is known")
    odds = math.fsum(r["log_odds"] for r in found["reasons"])
    p = found["ml_win_probability"]
    assert odds == pytest.approx(math.log(p / (1 - p)), abs=1e-6)
    assert sum(words.startswith("regime ") for words in found["words"]) == 1
    assert len(found["neighbours"]) == 5
    assert {n["direction"] for n in found["neighbours"]} == {found["direction"]}
    won = sum(n["realized_r"] > 0 for n in found["neighbours"])
    assert found["neighbours_summary"].startswith(f"5 nearest past signals: {won} won, mean ")

    code, out, _ = called(capsys, "predict", "LINK/USDT")
    assert code == 0
    assert found["words"][0].rsplit(" ", 1)[0] in out
    assert found["neighbours_summary"] in out
    assert out.count("distance ") >= 5


@pytest.mark.parametrize("asked", ["logistic"], indirect=True)
@pytest.mark.usefixtures("asked")
def test_without_past_signals_there_is_still_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    [beside] = Path("data/models").glob("*.samples.json")
    beside.unlink()
    capsys.readouterr()

    found = answer(capsys, "predict", "LINK/USDT")

    assert found["neighbours"] == []
    assert found["neighbours_summary"] == ""
    code, out, _ = called(capsys, "predict", "LINK/USDT")
    assert code == 0
    assert "nearest" not in out
