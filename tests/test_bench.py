"""The benchmark compares like with like, and says whether a promise is kept; its timings are no tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import Settings
from core.domain.candles import Candles
from core.services.backtest import COLUMNS, run_backtest
from tests.bench import page, row_by_row
from tests.bench.__main__ import PARTS
from tests.bench.candles import frame, jumpy
from tests.bench.measure import Line, process
from tests.markets import real, walk

ROOT = Path(__file__).parent.parent


def same_table(candles: Candles) -> int:
    """Holds the yardstick's table against the backtest's; gives the number of signals."""
    slow = row_by_row.run(frame(candles), candles.pair.symbol)
    fast = run_backtest({candles.pair: candles}, Settings()).table()[list(COLUMNS)]
    assert list(slow.columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(slow, fast, check_dtype=False, check_exact=False, rtol=1e-9, atol=1e-12)
    return len(fast)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_row_by_row_way_finds_the_same_signals_and_outcomes(seed: int) -> None:
    assert same_table(jumpy(walk(2400, seed, gaps={700: 3, 1500: 40, 2100: 9, 2109: 8}), seed)) >= 2


def test_it_leaves_out_a_trade_that_a_long_gap_ends_as_the_backtest_does() -> None:
    whole = walk(2400, 1)
    entry = int(row_by_row.run(frame(whole), "X")["signal_id"].iloc[0].removeprefix("X_"))
    cut = walk(2400, 1, gaps={entry + 1: 20})

    assert same_table(cut) == run_backtest({cut.pair: cut}, Settings()).summary["total"]["signals"]
    assert run_backtest({cut.pair: cut}, Settings()).summary["total"]["gap_ended"] == 1


@pytest.mark.real
def test_it_agrees_on_real_candles_too() -> None:
    assert same_table(real("LINKUSDT").between(1_704_067_200_000, 1_704_067_200_000 + 3000 * 900_000)) >= 1


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "verdict"),
    [
        ("ratio", 1.0, 25.0, "aim"),
        ("ratio", 1.0, 20.0, "aim"),
        ("ratio", 1.0, 10.0, "must"),
        ("ratio", 1.0, 9.9, "missed"),
        ("ratio", 1.0, None, "-"),
        ("ours", 30.0, None, "missed"),
        ("ours", 20.0, None, "aim"),
        ("tell", 1.0, 25.0, "-"),
    ],
)
def test_a_promise_is_kept_or_it_is_not(goal: str, ours: float, theirs: float | None, verdict: str) -> None:
    limits = (10, 20) if goal == "ratio" else (25, 20)
    line = Line("part", "what", ours, "ms", theirs, goal, *limits)  # type: ignore[arg-type]

    assert line.verdict == verdict


def test_a_line_survives_the_way_out_of_its_process() -> None:
    line = Line("rows", "row by row", 12.5, "ms", 4000.0, "ratio", 200, 500, "a note")

    assert Line.from_json(line.to_json()) == line


def test_a_process_gives_what_it_said_and_how_much_memory_it_took() -> None:
    """Its own memory, however large the process is that asks."""
    held = b"x" * 300_000_000
    code = "import sys; kept = bytearray({}); print('found'); sys.stderr.write('x' * 300_000)"

    small, large = (process([sys.executable, "-c", code.format(size)]) for size in (0, 100_000_000))

    assert (small.text, len(small.remarks)) == ("found\n", 300_000)
    assert 1 < small.peak_mb < 60
    assert large.peak_mb - small.peak_mb == pytest.approx(95, abs=10)
    assert len(held) == 300_000_000


def test_a_process_that_fails_is_told_with_its_complaint() -> None:
    with pytest.raises(RuntimeError, match="no such luck"):
        process([sys.executable, "-c", "raise SystemExit('no such luck')"])


LINES = [
    Line("rows", "row by row", 12.5, "ms", 4000.0, "ratio", 200, 500, "a note"),
    Line("command", "its memory", 250.4, "MB", None, "ours", 220),
    Line("growth", "10 000 candles of one pair", 0.12, "us/candle"),
    Line("growth", "1 000 000 candles of one pair", 0.08, "us/candle"),
]


def test_the_page_is_rewritten_between_its_marks_alone() -> None:
    text = page.rewritten(f"before\n{page.BEGIN}\nold | figures\n{page.END}\nafter\n", LINES, 0.25)

    assert text.startswith(f"before\n{page.BEGIN}\nMeasured on ")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old | figures" not in text
    assert "| row by row | 12.5 ms | 4 000 ms | 320x | 200x | 500x | met |" in text
    assert "| its memory | 250 MB |  |  | 220 MB |  | **not met** |" in text
    assert "| 10 000 candles of one pair | 0.12 us |" in text
    assert "load average when it began: 0.2." in text
    assert page.rewritten(text, LINES, 0.25) == text


def test_the_bot_at_work_has_a_table_of_its_own_without_empty_columns() -> None:
    begin, end = page.LIVE_MARKS
    lines = [Line("close", "a close", 12.5, "ms", None, "ours", 100, note="of 200")]

    text = page.rewritten(f"{page.BEGIN}\nkept\n{page.END}\n{begin}\nold\n{end}\n", lines, 0.25, page.LIVE_MARKS)

    assert text.startswith(f"{page.BEGIN}\nkept\n{page.END}\n{begin}\nMeasured on ")
    assert "| what | ours | must | aim |  |\n" in text
    assert "| a close | 12.5 ms | 100 ms |  | met |" in text
    assert "of which one was used" not in text
    assert "old" not in text


def test_a_page_without_marks_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="bench:begin"):
        page.rewritten("nothing here", LINES)


def test_the_terminal_shows_every_line_with_its_note() -> None:
    shown = page.terminal(LINES)

    assert [line.what for line in LINES if line.what not in shown] == []
    assert "a note" in shown
    assert "not met" in shown


def test_the_picture_is_one() -> None:
    assert page.picture(LINES).startswith(b"\x89PNG")


def test_the_page_names_every_part_and_has_its_marks() -> None:
    text = page.PAGE.read_text(encoding="utf-8")

    assert [part for part in PARTS if f"`{part}`" not in text] == []
    assert [mark for mark in (*page.MARKS, *page.LIVE_MARKS) if text.count(mark) != 1] == []
    assert page.PICTURE.is_file()


def test_candles_that_jump_are_candles() -> None:
    candles = jumpy(walk(500, 3), 3)

    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert (candles.open[1:] != candles.close[:-1]).mean() > 0.5


def test_the_lock_of_the_other_environment_holds_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements-bench.lock").read_text(encoding="utf-8")

    assert "\nvectorbt==" in text
    assert "--hash=sha256:" in text
    assert "://" not in text
