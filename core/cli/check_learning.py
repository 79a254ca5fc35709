"""``julaba check learning``: what can be learned from stored candles, every variant in one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context, say
from core.cli.check_material import common, paragraph, plain
from core.cli.options import check_range
from core.cli.pictures import write_picture
from core.cli.stored import load_range
from core.cli.text import bar_of, bounded, percent, table
from core.domain.candles import iso

if TYPE_CHECKING:
    from core.config import Settings
    from core.domain.candles import Pair
    from core.ml.dataset import Dataset
    from core.services.checks.learning import Learning, Trial

HEADINGS = ("model", "learned", "judged", "n", "right/maj", "AUC (95%)", "p", "skill", "R gain (95%)")
_SORT = {"signals": "signals", "candidates": "all"}


def learning_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Every feature set and kind of model, walk-forward on stored candles: taught by signals and by every "
        "crossover, judged on unseen signals (and on crossovers, as a hint). All rows are shown, and Holm's correction "
        "says what is left when all of them were looked at."
    )
    common(parser)
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the picture there")


def learning(args: argparse.Namespace, context: Context) -> int:
    from core.services.checks.learning import check_learning

    check_range(args)
    settings = context.settings
    stored = load_range(args, context, context.pairs(args.pairs), settings.frame)
    settings = settings.with_pairs(stored.candles)
    samples = dict(_samples(context, settings, tuple(stored.candles), stored.start, stored.end))
    with bar_of("learning", "walk-forward") as bar:
        found = check_learning(samples, settings.ml, settings.strategy.max_bars * settings.frame.ms, bar)
    if args.png is not None:
        from core.reports.model_charts import Row, forest_chart

        figures = [(f"{t.name}, {_words(t)}", t.metrics) for t in found.trials]
        rows = [Row(label, m.n, m.auc, m.auc_low, m.auc_high) for label, m in figures]
        write_picture(args.png, forest_chart("AUC of every variant on unseen rows", rows, found.verdict))
    span = {"from": iso(stored.start), "to": iso(stored.end), "pairs": [str(p) for p in stored.candles]}
    png = None if args.png is None else str(args.png)
    data = {"verdict": found.verdict, **span, **found.data(), "png": png}
    context.result(plain(data), learning_text(found, f"{span['from']} to {span['to']}"))
    return 0


def _samples(
    context: Context, settings: Settings, pairs: tuple[Pair, ...], start: int, end: int
) -> Iterator[tuple[str, Dataset]]:
    """Every candidate of the range once per feature set, by its name."""
    from core.ml.features import FEATURE_SETS
    from core.services.samples import stored_samples

    store = bootstrap.candle_store(context.data_dir)
    for name in FEATURE_SETS:
        say(f"samples with the features {name} ...")
        ml = settings.ml.model_copy(update={"features": name})
        chosen = settings.model_copy(update={"ml": ml})
        yield name, stored_samples(store, pairs, settings.frame, chosen, start, end, candidates=True)


# -- as text --


def learning_text(found: Learning, span: str) -> str:
    """A table and the conclusion."""
    signals, candidates = found.base_rates
    counts = f"{found.signals:,} signals ({percent(signals)} won)"
    counts += f", {found.candidates:,} candidates ({percent(candidates)} won)"
    return "\n".join(
        [
            f"{span}: {counts}",
            "",
            *table(HEADINGS, [cells(trial) for trial in found.trials]),
            "",
            paragraph(
                f"{found.trainings} walk-forwards. learned from the signals or from all candidates, judged on n unseen "
                "ones; judged on all is a hint, never a proof. right: at 0.5; maj: always saying the commoner outcome. "
                "p: one-sided, that AUC is above 0.50; * stands after Holm's correction over all rows. skill: of the "
                "Brier score against the base rate of the past. R gain: mean gross R of the better half of the "
                "predictions less that of the worse. Intervals cluster by UTC day or longer."
            ),
            "",
            paragraph(found.verdict),
        ]
    )


def cells(trial: Trial) -> tuple[str, ...]:
    """A trial as a row of ``HEADINGS``."""
    m = trial.metrics
    p = "-" if m.auc_p is None else f"{m.auc_p:.3f}" + ("*" if trial.stands else "")
    return (
        trial.name,
        _SORT[trial.learned],
        _SORT[trial.judged],
        f"{m.n:,}",
        "-" if m.accuracy is None or m.majority is None else f"{100 * m.accuracy:.1f}/{100 * m.majority:.1f}",
        bounded(m.auc, m.auc_low, m.auc_high, ".2f"),
        p,
        "-" if m.brier_skill is None else f"{m.brier_skill:+.1%}",
        bounded(m.r_gain, m.r_gain_low, m.r_gain_high, "+.2f"),
    )


def _words(trial: Trial) -> str:
    return "signals" if trial.learned == "signals" else f"all, on {_SORT[trial.judged]}"
