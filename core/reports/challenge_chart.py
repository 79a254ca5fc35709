"""Champion against challenger as a picture: the difference on the same unseen signals, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.ml.challenge import Comparison
from core.reports.canvas import DOWN, FAINT, GRID, LARGE, NORMAL, SLOW, SMALL, TEXT, UP, empty_figure, panel, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT = 4.8


def challenge_chart(found: Comparison) -> bytes:
    """Brier score and AUC of both, and by how much the challenger is better, right of the line; a PNG.

    Raises ValueError where nothing could be compared.
    """
    if found.champion is None or found.challenger is None or found.gain is None:
        raise ValueError("there is nothing to compare")
    figure = empty_figure(f"{found.challenger_id} against {found.champion_id}", _HEIGHT, 0.92)
    words = "the same signals, decided after the champion had learned"
    figure.text(0.035, 0.83, f"{found.n} signals new to both: {words}", color=FAINT, fontsize=SMALL, va="center")
    old, new = found.champion, found.challenger
    _row(figure, 0.49, "Brier score", (f"{old.brier:.4f}", f"{new.brier:.4f}"), (found.gain, found.low, found.high), 4)
    if found.auc_gain is not None and old.auc is not None and new.auc is not None:
        bounds = (found.auc_gain, found.auc_low, found.auc_high)
        _row(figure, 0.14, "AUC", (f"{old.auc:.2f}", f"{new.auc:.2f}"), bounds, 2)
    note = "Right of the line the challenger is better, left of it the champion; an interval across it may be chance."
    figure.text(0.035, 0.06, note, color=FAINT, fontsize=SMALL, va="center")
    return png(figure)


def _row(
    figure: Figure,
    bottom: float,
    name: str,
    values: tuple[str, str],
    bounds: tuple[float, float | None, float | None],
    digits: int,
) -> None:
    """One measure: its name and both values to the left, the difference with its interval to the right."""
    gain, low, high = bounds
    figure.text(0.035, bottom + 0.20, name, color=TEXT, fontsize=LARGE, va="center")
    figure.text(0.035, bottom + 0.115, f"champion {values[0]}", color=FAINT, fontsize=NORMAL, va="center")
    figure.text(0.035, bottom + 0.045, f"challenger {values[1]}", color=FAINT, fontsize=NORMAL, va="center")
    axes = panel(figure, (0.30, bottom + 0.06, 0.65, 0.13), pad=5)
    reach = 1.25 * max(abs(v) for v in (gain, low or 0.0, high or 0.0)) or 10.0**-digits
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(color=GRID, linewidth=0.8, axis="x")
    axes.set_axisbelow(True)
    axes.axvline(0, color=FAINT, linewidth=1.6, zorder=1)
    sure = SLOW if low is None or high is None else UP if low > 0 else DOWN if high < 0 else SLOW
    if low is not None and high is not None:
        axes.plot([low, high], [0, 0], color=sure, linewidth=5, alpha=0.8, solid_capstyle="round")
    axes.plot(gain, 0, "o", color=sure, markersize=12, zorder=4)
    interval = (
        "too few days to tell" if low is None or high is None else f"{_sign(low, digits)} to {_sign(high, digits)}"
    )
    said = f"difference {_sign(gain, digits)} ({interval})"
    figure.text(0.95, bottom + 0.235, said, color=sure, fontsize=NORMAL, ha="right", va="center")


def _sign(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
