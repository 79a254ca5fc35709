"""``julaba backtest --html``, ``--png`` and ``--png-months``: the page and the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.bootstrap import candle_store
from tests.core.cli.calling import answer, called
from tests.core.reports.test_backtest_page import data_of, text_of
from tests.core.reports.test_charts import size
from tests.markets import walk


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with 3000 candles of LINK."""
    monkeypatch.chdir(tmp_path)
    candle_store(tmp_path / "data").save(walk(3000, seed=6))
    return tmp_path


def test_the_page_and_the_pictures_are_written_and_said_on_stderr(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(
        capsys,
        "backtest",
        "--pairs",
        "LINK",
        "--html",
        "out/report.html",
        "--png",
        "out/e.png",
        "--png-months",
        "out/m.png",
    )

    assert code == 0
    assert "report.html" not in out
    assert "report written to out/report.html" in err.splitlines()
    assert "picture written to out/e.png" in err.splitlines()
    assert size((shelf / "out/e.png").read_bytes()) == (1080, 810)
    assert size((shelf / "out/m.png").read_bytes())[0] == 1080
    assert sorted(path.name for path in (shelf / "out").iterdir()) == ["e.png", "m.png", "report.html"]


def test_the_page_agrees_with_the_answer(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "backtest", "--pairs", "LINK", "--html", "report.html")

    page = (shelf / "report.html").read_text(encoding="utf-8")
    shown = data_of(page)
    assert len(shown["trades"]) == data["portfolio"]["trades"] > 0
    assert sum(row[7] for row in shown["trades"]) == pytest.approx(data["portfolio"]["pnl"], abs=0.2)
    assert len(shown["refused"]) == data["portfolio"]["refused"]
    assert [pair["name"] for pair in shown["pairs"]] == ["LINK/USDT"]


@pytest.mark.parametrize("more", [(), ("--candidates",)])
def test_signals_alone_make_a_page_too(shelf: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    data = answer(capsys, "backtest", "--pairs", "LINK", "--signals-only", "--html", "r.html", "--png", "r.png", *more)

    page = (shelf / "r.html").read_text(encoding="utf-8")
    assert "No account here" in text_of(page)
    assert len(data_of(page)["trades"]) == data["total"]["signals"]


def test_a_range_without_signals_makes_a_page_that_says_so(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "backtest", "--pairs", "LINK", "--to", "2024-01-02", "--html", "r.html", "--png", "r.png")

    assert "No signals in this range" in text_of((shelf / "r.html").read_text(encoding="utf-8"))
    assert size((shelf / "r.png").read_bytes()) == (1080, 810)


def test_without_a_signal_there_is_no_month_to_draw(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = called(
        capsys, "backtest", "--pairs", "LINK", "--to", "2024-01-02", "--signals-only", "--png-months", "m.png"
    )

    assert code == 0
    assert "no picture: there are no months to draw" in err.splitlines()
    assert not (shelf / "m.png").exists()


@pytest.mark.parametrize("option", ["--html", "--png", "--png-months"])
def test_a_file_that_cannot_be_written_is_named_as_given(
    shelf: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    code, out, err = called(capsys, "backtest", "--pairs", "LINK", option, str(shelf))

    assert (code, out) == (1, "")
    assert f"error: Is a directory: {shelf}\n" in err


def test_one_name_for_two_files_is_wrong_use(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = called(capsys, "backtest", "--html", "r", "--png", "./r")

    assert code == 2
    assert "name the same file" in err
