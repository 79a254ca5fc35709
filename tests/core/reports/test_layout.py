"""In every picture all words can be read: none lies on another, none is cut off by the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from core.domain.candles import HOUR_MS, to_ms
from core.engine.resampling import FAN
from core.reports import charts, check_charts, success_chart, sweep_charts
from core.reports.check_charts import Chance
from core.reports.sweep_charts import HeatMap
from tests.fakes import success

Drawn = Callable[[], Figure]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figure that was drawn last, before it became a PNG."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return b""

    for module in (charts, check_charts, sweep_charts, success_chart):
        monkeypatch.setattr(module, "png", keep)
    return lambda: kept[-1]


def words(figure: Figure) -> list[tuple[str, Bbox]]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    hidden = {id(tick.label1) for tick in _ticks_beyond(figure)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts if id(text) not in hidden]


def _ticks_beyond(figure: Figure) -> Iterator[Tick]:
    """Ticks beyond the limits have names too, which are not drawn."""
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                if not min(limits) <= tick.get_loc() <= max(limits):
                    yield tick


def assert_readable(figure: Figure) -> None:
    found = words(figure)
    for text, box in found:
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) >= 0, f"{text!r} is cut off"
    for (text, box), (other, another) in combinations(found, 2):
        assert not box.overlaps(another), f"{text!r} lies on {other!r}"


@pytest.mark.parametrize("hours", [24, 7 * 24, 30 * 24, 90 * 24, 800 * 24])
@pytest.mark.parametrize("late", [0, 1])
def test_the_dates_below_an_equity(drawn: Drawn, hours: int, late: int) -> None:
    """Ranges usually begin and end at midnight, where a date stands."""
    times = to_ms(datetime(2024, 8, 31, tzinfo=UTC)) + HOUR_MS * np.arange(late, hours + 1)
    equity = 10_000 + np.linspace(0, -800, len(times))

    charts.equity_chart(times, equity, "LINK ETH · 2024-08-31 to then", equity + 500, "−800 USDT · 3 trades")

    assert_readable(drawn())


@pytest.mark.parametrize("names", [("0", "0.0005", "0.001"), ("0.0005–0.00075", "0.001–0.00125"), ("20", "25")])
def test_the_rows_of_a_map(drawn: Drawn, names: tuple[str, ...]) -> None:
    values, trades = np.linspace(-1, 1, 4 * len(names)).reshape(len(names), 4), np.full((len(names), 4), 5)

    sweep_charts.heat_chart(
        HeatMap("window", "paper.slippage_rate", ("1", "2", "3", "4"), names, values, values, trades, trades),
        "180 settings, 4 pairs, 2024-05-09 to 2024-09-06",
        ("Best of 3 in-sample: DSR 0.47, no more than luck",),
    )

    assert_readable(drawn())


def test_results_that_hardly_differ_are_not_spread_over_the_axis(drawn: Drawn) -> None:
    """Drawn from -0.8319 to -0.8318% their axis would read 1e-6-8.319e-1."""
    final, fall = 0.991681 + 1e-8 * np.arange(5), 0.009245 + 1e-8 * np.arange(5)
    fan = np.quantile(1 + (final[:, None] - 1) * np.linspace(0, 1, 3), FAN, axis=0)

    check_charts.montecarlo_chart("What chance could have made of it", [_chance(fan, final, fall)], 0.2)

    figure = drawn()
    assert_readable(figure)
    for axes in figure.axes[1:]:
        assert axes.xaxis.get_offset_text().get_text() == ""
        assert np.ptp(axes.get_xlim()) >= 1


def _chance(fan: np.ndarray, final: np.ndarray, fall: np.ndarray) -> Chance:
    return Chance("The same trade", "5 draws", "days", fan, final, fall, float(final[2]), float(fall[2]))


def test_the_report_s_headline_is_read_whole_with_all_its_flags(drawn: Drawn) -> None:
    report = success.bad_model(datetime(2024, 8, 31, tzinfo=UTC)).report
    assert report is not None
    success_chart.success_chart(report.headline, report.shown, report.equity)

    figure = drawn()
    heads = [(text, box) for text, box in words(figure) if text.startswith("Report") or "line: target" in text]
    assert len(heads) == 2
    assert any("at the bootstrap" in text for text, _ in heads)
    assert all(box.x1 < figure.bbox.x1 for _, box in heads)
