"""The picture of one prediction's reasons: nothing missing, nothing outside, the same bytes."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from core.ml.words import WORDS, Line, label_of
from core.reports.canvas import png
from core.reports.reasons_chart import MOST_BARS, _short, reasons_chart

LINES = tuple(Line("RSI", str(n), (-1) ** n * 0.4 / (n + 1)) for n in range(22))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []

    def kept(figure: Figure) -> bytes:
        figures.append(figure)
        return png(figure)

    monkeypatch.setattr("core.reports.reasons_chart.png", kept)
    return figures


@pytest.mark.parametrize("count", [0, 1, MOST_BARS, MOST_BARS + 1, 22])
def test_the_bars_make_up_the_whole_way_however_many_lines_there_are(drawn: list[Figure], count: int) -> None:
    reasons_chart("LINK/USDT $", LINES[:count], 0.38, 0.45)

    [axes] = drawn[0].axes
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert len(widths) == min(count, MOST_BARS)
    assert math.fsum(widths) == pytest.approx(math.fsum(line.share for line in LINES[:count]), abs=1e-12)
    if count > MOST_BARS:
        assert axes.get_yticklabels()[-1].get_text() == f"{count - MOST_BARS + 1} smaller ones together"


def test_what_is_nothing_to_two_digits_has_no_bar_of_its_own(drawn: list[Figure]) -> None:
    reasons_chart("LINK", (*LINES[:2], Line("ADX", "31", 0.004), Line("Hurst", "0.5", -0.001)), 0.38, 0.45)

    assert [t.get_text() for t in drawn[0].axes[0].get_yticklabels()] == ["RSI 0", "RSI 1", "2 smaller ones together"]


@pytest.mark.parametrize(
    "lines",
    [LINES, LINES[:1], LINES[1:2], (Line("a feature whose name is far too long for its place", "and 3.14", 1e-9),), ()],
)
def test_every_word_lies_within_the_picture(drawn: list[Figure], lines: tuple[Line, ...]) -> None:
    reasons_chart("LINK/USDT LONG #12 · what moved logistic-v2-1a2b3c4d", lines, 0.38, 0.45)

    figure = drawn[0]
    [axes] = figure.axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text in [*figure.texts, *axes.texts, *axes.get_yticklabels()]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_no_feature_has_a_label_that_is_cut() -> None:
    values = {"return_96": -13.1, "btc_return_16": -13.1, "entry_day_of_week": 6.0}
    labels = [label_of(name, values.get(name, 0.99)) for name in WORDS]

    assert not [label for label in labels if "…" in _short(label)]


def test_the_same_reasons_give_the_same_picture() -> None:
    first = reasons_chart("LINK", LINES, 0.38, 0.45)

    assert first == reasons_chart("LINK", LINES, 0.38, 0.45)
    assert first.startswith(b"\x89PNG")
    assert first != reasons_chart("LINK", LINES[:5], 0.38, 0.45)
