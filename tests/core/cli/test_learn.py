"""train, predict and pipeline, as they are typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import bootstrap
from core.cli import main
from core.domain.candles import Candles, Pair, Timeframe
from core.ml.features import FEATURES_V1
from tests.core.ml.planted import START, table

Julaba = Callable[..., int]
QUARTER = 900_000


@pytest.fixture
def julaba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Julaba:
    """Runs a command in an empty folder; the data lies in ``data`` there."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: main([*words])


def walk(symbol: str, seed: int, count: int = 8000) -> Candles:
    rng = np.random.default_rng(seed)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.004, count)))
    opened = np.concatenate(([10.0], close[:-1]))
    reach = np.exp(np.abs(rng.normal(0, 0.002, (2, count))))
    return Candles(
        Pair(symbol, "USDT"),
        Timeframe.parse("15m"),
        np.arange(count, dtype=np.int64) * QUARTER + START,
        opened,
        np.maximum(opened, close) * reach[0],
        np.minimum(opened, close) / reach[1],
        close,
        rng.uniform(50, 150, count),
    )


def store(*candles: Candles) -> None:
    for one in candles:
        bootstrap.candle_store(Path("data")).save(one)


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """stdout as the one JSON object it must be."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_pipeline_makes_every_file_and_ends_in_plain_words(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    store(walk("LINK", 1), walk("ETH", 2))

    assert julaba("pipeline", "--offline", "--candidates", "--json") == 0
    found = answer(capsys)
    names = {Path(name).name for name in found["files"]}
    assert names == {
        *("LINKUSDT_15m_90d.csv", "LINKUSDT_15m_90d_indicators.csv"),
        *("ETHUSDT_15m_90d.csv", "ETHUSDT_15m_90d_indicators.csv", "backtest_training_data.csv"),
    }
    assert all((Path("data/historical") / name).exists() for name in names)
    assert Path("data/models/julaba_ml_v1.json").exists()
    assert found["training"]["champion"]
    assert found["sentence"].startswith(f"{found['training']['n']} samples, AUC 0.")


def test_training_on_the_pipelines_table_gives_the_pipelines_model(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    """So every number survives the CSV to its last bit."""
    store(walk("LINK", 1))
    assert julaba("pipeline", "--offline", "--candidates", "--json") == 0
    first = answer(capsys)["training"]

    assert julaba("train", "--json") == 0
    assert answer(capsys)["model_id"] == first["model_id"]


def test_the_pipeline_says_on_stderr_what_it_does_and_which_pairs_it_lacks(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    store(walk("LINK", 1))

    assert julaba("pipeline", "--offline", "--candidates") == 0
    streams = capsys.readouterr()
    for name in ("ETH", "SOL", "AVAX", "POL"):
        assert f"warning: {name}/USDT has no 15m candles stored and is left out" in streams.err
    assert "warning: no BTC/USDT candles: the features that look at BTC stay empty" in streams.err
    assert "4/4 training" in streams.err
    assert "walk-forward" in streams.out
    assert "optimistic" in streams.out


def test_too_few_samples_are_an_answer_not_a_fault(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    store(walk("LINK", 1, 1000))

    assert julaba("pipeline", "--offline", "--pairs", "LINK/USDT", "--json") == 0
    found = answer(capsys)
    assert found["training"] is None
    assert re.match(r"no model was made: \d+ samples, 50 are needed: take more", found["sentence"])
    assert not Path("data/models").exists()


def test_days_and_range_choose_what_is_learned_from_and_written(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    store(walk("LINK", 1))

    assert julaba("pipeline", "--offline", "--pairs", "LINK", "--days", "30", "--candidates", "--json") == 0
    assert answer(capsys)["from"] == "2024-02-23T08:00:00Z"
    assert len(Path("data/historical/LINKUSDT_15m_30d.csv").read_text().splitlines()) == 30 * 96 + 1


def test_a_pipeline_without_candles_fails_in_one_line(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    assert julaba("pipeline", "--offline") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no 15m candles of LINK/USDT")


def test_training_and_prediction_give_the_promised_json(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    store(walk("LINK", 1, 500))
    table(120).to_csv("rows.csv", index=False)

    assert julaba("train", "--data", "rows.csv", "--json") == 0
    trained = answer(capsys)
    assert julaba("predict", "LINK/USDT", "--json") == 0
    found = answer(capsys)
    assert found["model_id"] == trained["model_id"]
    assert found["pair"] == "LINK/USDT"
    assert found["time"] == "2024-01-06T04:45:00Z"
    assert list(found["features"]) == list(FEATURES_V1)
    assert 0 < found["ml_win_probability"] < 1
    assert found["ml_confidence"] in {"HIGH", "MEDIUM", "LOW"}
    assert found["ml_recommendation"] == ("TAKE" if found["ml_win_probability"] >= 0.5 else "SKIP")
    odds = sum(reason["log_odds"] for reason in found["reasons"])
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(found["ml_win_probability"], abs=1e-4)


def test_training_takes_the_pipelines_table_by_default(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/historical").mkdir(parents=True)
    table(60).to_csv("data/historical/backtest_training_data.csv", index=False)

    assert julaba("train") == 0
    assert "60 samples, AUC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no training data rows.csv"),
        ("", "rows.csv is empty; make training data with"),
        ("\n \n", "rows.csv is empty"),
        ('a,b\n1,2\n"3', "rows.csv is no CSV"),
        ("a,b\n1,2\n", "the training data has no column timestamp"),
        (table(31).to_csv(index=False), "31 samples, 50 are needed: take more pairs"),
        (table(60).to_csv(index=False)[:-150], "rows.csv, line 61: the row is not whole: "),
        (table(60).to_csv(index=False).rsplit(",", 1)[0], "rows.csv, line 61: the row is not whole: "),
        (table(60).assign(entry_adx="high").to_csv(index=False), "training data, line 2: entry_adx is 'high'"),
        (table(60).assign(outcome=1).to_csv(index=False), "all 60 samples won"),
    ],
)
def test_bad_training_data_is_one_sentence_and_writes_nothing(
    julaba: Julaba, capsys: pytest.CaptureFixture[str], content: str | None, sentence: str
) -> None:
    if content is not None:
        Path("rows.csv").write_text(content)

    assert julaba("train", "--data", "rows.csv") == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert error[0].startswith(f"error: {sentence}")
    assert not Path("data/models").exists()


def test_a_prediction_needs_candles_and_a_whole_model(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    assert julaba("predict", "LINK/USDT") == 1
    assert "no 15m candles of LINK/USDT are stored" in capsys.readouterr().err

    store(walk("LINK", 1, 500))
    assert julaba("predict", "LINK/USDT") == 1
    assert "there is no model yet" in capsys.readouterr().err

    table(120).to_csv("rows.csv", index=False)
    assert julaba("train", "--data", "rows.csv") == 0
    export = Path("data/models/julaba_ml_v1.json")
    export.write_bytes(export.read_bytes()[:500])
    capsys.readouterr()
    assert julaba("predict", "LINK/USDT") == 1
    assert "is not the champion's file" in capsys.readouterr().err


def test_wrong_use_ends_with_2(julaba: Julaba) -> None:
    assert julaba("predict") == 2
    assert julaba("pipeline", "--days", "0") == 2
    assert julaba("pipeline", "--days", "3", "--from", "2024-01-01") == 2


@pytest.mark.parametrize("kind", ["xgb", "forest", "logistic"])
def test_every_kind_trains_is_asked_and_stands_beside_the_baseline(
    julaba: Julaba, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    table(150, effect=1.0).to_csv("rows.csv", index=False)
    store(walk("LINK", 1, 400))

    assert julaba("train", "--data", "rows.csv", "--model", kind, "--json") == 0
    trained = answer(capsys)
    assert julaba("predict", "LINK/USDT", "--json") == 0
    found = answer(capsys)

    assert trained["model_id"].startswith(f"{kind}-v1-")
    assert trained["champion"]
    assert found["model_id"] == trained["model_id"]
    odds = found["ml_win_probability"] / (1 - found["ml_win_probability"])
    assert sum(reason["log_odds"] for reason in found["reasons"]) == pytest.approx(np.log(odds), abs=1e-4)
    baseline = trained["baseline"]
    if kind == "logistic":
        assert baseline["sentence"] == "the logistic is the baseline itself"
    else:
        assert baseline["low"] <= baseline["gain"] <= baseline["high"]
        assert f"on the same {trained['evaluated']} signals" in baseline["sentence"]


def test_a_size_model_that_knows_something_ranks_the_candle(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    table(300, effect=2.0).to_csv("rows.csv", index=False)
    store(walk("LINK", 1, 400))

    assert julaba("train", "--data", "rows.csv", "--model", "logistic") == 0
    assert "with a weight it makes positions smaller where it expects less" in capsys.readouterr().out
    assert julaba("predict", "LINK/USDT", "--json") == 0
    rank = answer(capsys)["size_rank"]
    assert 0 <= rank <= 1
    assert julaba("predict", "LINK/USDT") == 0
    assert f"expected R: above {rank:.0%} of the unseen signals" in capsys.readouterr().out


def test_copies_and_found_settings_are_told(julaba: Julaba, capsys: pytest.CaptureFixture[str]) -> None:
    table(150, effect=1.0).to_csv("rows.csv", index=False)

    assert julaba("train", "--data", "rows.csv", "--augment", "--tune", "2", "--json") == 0
    streams = capsys.readouterr()
    found = json.loads(streams.out)
    assert found["sources"] == {"backtest": 150, "augmented": 120}  # the newest 30 only served early stopping
    assert "max_depth" in found["tuned"]
    assert "trying settings, 2 of 2" in streams.err
    assert found["sizing"]["n"] == 90
    assert found["sizing"]["sentence"].startswith("size model: ")


def test_the_text_names_the_baseline_the_size_model_and_the_settings(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    table(150, effect=1.0).to_csv("rows.csv", index=False)

    assert julaba("train", "--data", "rows.csv", "--tune", "1") == 0
    out = capsys.readouterr().out
    assert "\nlogistic" in out
    assert "\nsquared error of boosted trees " in out
    assert "\nsize model: rank correlation " in out
    assert "\nsettings found: max_depth 4, learning_rate 0.1" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "magic"), "'xgb', 'forest', 'logistic'"),
        (("--tune", "0"), "at least 1"),
        (("--tune", "501"), "500"),
    ],
)
def test_a_kind_and_a_number_of_trials_that_are_none_are_refused(
    julaba: Julaba, capsys: pytest.CaptureFixture[str], words: tuple[str, str], sentence: str
) -> None:
    assert julaba("train", *words) == 2
    assert sentence in capsys.readouterr().err


def test_data_without_the_newer_features_teaches_v1_and_says_so(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    table(60).to_csv("rows.csv", index=False)

    assert julaba("train", "--data", "rows.csv", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["model_id"].startswith("xgb-v1-")
    assert "rows.csv has none of the columns that v2 adds, so the model learns from v1's features alone" in said.err


def test_a_page_that_would_be_a_directory_is_refused_before_a_model_is_made(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    table(60).to_csv("rows.csv", index=False)
    Path("pages").mkdir()

    assert julaba("train", "--data", "rows.csv", "--html", "pages") == 1

    assert "pages is a directory; name a file for the page, such as pages/model.html" in capsys.readouterr().err
    assert not Path("data/models").exists()


def test_the_models_page_lies_beside_it_and_where_it_is_asked_for(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    table(60).to_csv("rows.csv", index=False)

    assert julaba("train", "--data", "rows.csv", "--html", "model.html", "--json") == 0

    found = answer(capsys)
    page = Path("model.html").read_text(encoding="utf-8")
    assert found["html"] == "model.html"
    assert page == Path(f"data/models/{found['model_id']}.report.html").read_text(encoding="utf-8")
    assert f"<title>Model {found['model_id']}</title>" in page
    assert found["sentence"].split(":")[0] in page


def test_a_range_in_which_nothing_is_found_leaves_the_training_data_as_it_was(
    julaba: Julaba, capsys: pytest.CaptureFixture[str]
) -> None:
    store(walk("LINK", 1))
    assert julaba("pipeline", "--offline", "--pairs", "LINK", "--candidates") == 0
    before = Path("data/historical/backtest_training_data.csv").read_bytes()
    capsys.readouterr()

    assert julaba("pipeline", "--offline", "--pairs", "LINK", "--days", "1", "--json") == 0
    streams = capsys.readouterr()
    assert "backtest_training_data.csv stays as it was; take more days" in streams.err
    assert not [name for name in json.loads(streams.out)["files"] if "training" in name]
    assert Path("data/historical/backtest_training_data.csv").read_bytes() == before
