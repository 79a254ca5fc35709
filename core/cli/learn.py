"""``train`` and ``pipeline``: from stored candles to a model."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import bootstrap
from core.cli import Context, say
from core.cli.options import (
    add_adx_min,
    add_days,
    add_pairs,
    add_range,
    add_timeframe,
    check_range,
    timeframe_of,
    whole_number,
)
from core.cli.stored import load_range
from core.config import MOST_TRIALS, Ml
from core.domain.candles import DAY_MS, Candles, Pair, iso
from core.errors import DataError, MarketError, ModelError, TooFewSamples, UsageError
from core.services.stored_range import beside

if TYPE_CHECKING:
    import pandas as pd

    from core.ml.dataset import Dataset
    from core.services.backtest import Backtest
    from core.services.train import TrainingReport

TRAINING_CSV = "backtest_training_data.csv"

_CSV_DAYS = 90  # the candle and indicator files hold this much, unless told otherwise
_KINDS = ("xgb", "forest", "logistic")


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="F.csv", help=f"training data (default: historical/{TRAINING_CSV} of the data)"
    )
    parser.add_argument("--model", choices=_KINDS, help="the kind of model (default: ml.model)")
    parser.add_argument("--augment", action="store_true", help="also learn from noisy copies of the training rows")
    parser.add_argument(
        "--tune",
        type=partial(whole_number, most=MOST_TRIALS),
        metavar="N",
        help="settings to try in every fit; needs julaba[tune] (default: ml.tune_trials)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="the model's page for the browser, also there")
    add_timeframe(parser)


def train(args: argparse.Namespace, context: Context) -> int:
    """Trains on a backtest's CSV and says honestly what came of it."""
    path = args.data or context.data_dir / "historical" / TRAINING_CSV
    if args.html is not None and args.html.is_dir():  # said before a model is made, not after
        raise DataError(f"{args.html} is a directory; name a file for the page, such as {args.html / 'model.html'}")
    table = _read_table(path)
    _say_which_features(path, table, context)
    report = _train(table, args, context)
    if args.html is not None:
        _write_page(report.model_id, args.html, context)
    html = None if args.html is None else str(args.html)
    context.result(report.to_json() | {"html": html}, _report_text(report))
    return 0


def _say_which_features(path: Path, table: pd.DataFrame, context: Context) -> None:
    from core.ml.features import MORE_V2

    if context.settings.ml.features == "v2" and not any(name in table.columns for name in MORE_V2):
        say(
            f"warning: {path} has none of the columns that v2 adds, so the model learns from v1's features alone; "
            "`julaba backtest --out` writes them all"
        )


def _write_page(model_id: str, path: Path, context: Context) -> None:
    from core.reports.model_page import REPORT
    from core.services.whole_file import whole_file

    page = bootstrap.model_files(context.data_dir).beside(model_id, REPORT)
    if page is None:
        raise ModelError(f"the model {model_id} has no page; train it again")
    with whole_file(path) as file:
        file.buffer.write(page)
    say(f"page written to {path}")


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.exists():
        raise DataError(
            f"there is no training data {path}; make some with `julaba pipeline` or `julaba backtest --out`"
        )
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path} is empty; make training data with `julaba pipeline` or `julaba backtest --out`")
    try:
        table = pd.read_csv(io.StringIO(text), low_memory=False)
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is no CSV: {str(error).strip().splitlines()[0]}") from error
    _refuse_cut_rows(path, text)
    return table


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path} is broken: it does not unpack as gzip") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no CSV: it is no text file") from None


def _refuse_cut_rows(path: Path, text: str) -> None:
    """pandas fills a row that was cut off with empty values."""
    reader = csv.reader(io.StringIO(text))
    names = next(reader)
    for row in reader:
        if row and len(row) != len(names):
            raise DataError(
                f"{path}, line {reader.line_num}: the row is not whole: {len(row)} values, {len(names)} expected"
            )


def _train(data: pd.DataFrame | Dataset, args: argparse.Namespace, context: Context) -> TrainingReport:
    from core.services.train import train_from_table

    settings = context.settings
    try:
        return train_from_table(
            data,
            _settings(args, settings.ml),
            bootstrap.model_files(context.data_dir),
            bootstrap.computer_clock().now(),
            timeframe=timeframe_of(args, settings),
            max_bars=settings.strategy.max_bars,
            progress=lambda text, done: say(f"  {done:4.0%} {text}"),
        )
    except TooFewSamples as error:
        # A sentence for a person at a terminal; the error's own words are the chat's short form.
        more = "take more pairs or more days, or every crossover (`julaba pipeline --candidates`)"
        raise ModelError(f"{error.rows} samples, {error.needed} are needed: {more}") from error


def _settings(args: argparse.Namespace, configured: Ml) -> Ml:
    """What is configured, with what is typed in its place; the pipeline has none of these options."""
    typed: dict[str, object] = {"model": getattr(args, "model", None), "tune_trials": getattr(args, "tune", None)}
    if getattr(args, "augment", False):
        typed["augment"] = True
    return configured.model_copy(update={name: value for name, value in typed.items() if value is not None})


def _report_text(report: TrainingReport) -> str:
    from core.ml.baseline import BASELINE

    walked, split = report.walk_forward.metrics, report.random_split.metrics
    lines = [
        f"model {report.model_id}: {report.takeover}",
        "",
        f"{'':<16}{'n':>6}{'accuracy':>10}{'majority':>10}{'AUC':>7}{'95% interval':>15}{'Brier skill':>13}",
    ]
    judged = [("walk-forward", walked), ("random split*", split)]
    if report.baseline.metrics and report.baseline.kind != BASELINE:
        judged.insert(1, ("logistic", report.baseline.metrics))
    for name, m in judged:
        interval = "-" if m.auc_low is None or m.auc_high is None else f"{m.auc_low:.2f}-{m.auc_high:.2f}"
        lines.append(
            f"{name:<16}{m.n:>6}{_shown(m.accuracy, '.1%'):>10}{_shown(m.majority, '.1%'):>10}"
            f"{_shown(m.auc, '.2f'):>7}{interval:>15}{_shown(m.brier_skill, '+.1%'):>13}"
        )
    return "\n".join(
        [*lines, "* optimistic: rows of the same hours lie on both sides; never a proof", "", *_sentences(report)]
    )


def _sentences(report: TrainingReport) -> list[str]:
    found = [report.sentence, report.baseline.sentence]
    if report.sizing:
        found.append(report.sizing.sentence)
    if report.tuned:
        found.append("settings found: " + ", ".join(f"{name} {value:.3g}" for name, value in report.tuned.items()))
    return found


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="use stored candles, fetch nothing")
    add_pairs(parser)
    add_days(parser, f"how far back (default: ml.bootstrap_days to learn from, {_CSV_DAYS} in the candle files)")
    add_range(parser)
    add_timeframe(parser)
    add_adx_min(parser)
    parser.add_argument("--candidates", action="store_true", help="learn from every crossover, not only the signals")


def pipeline(args: argparse.Namespace, context: Context) -> int:
    """Fetch (or stored candles), indicators, backtest and training, in this order, with the files of each."""
    from core.services.backtest import run_backtest
    from core.services.loosened import kinds_in_words, loosened_settings, with_loosened

    check_range(args)
    if args.candidates and args.adx_min is not None:
        raise UsageError("--candidates learns from every crossover already; leave --adx-min out")
    loose = None if args.adx_min is None else loosened_settings(context.settings, args.adx_min)
    pairs = context.pairs(args.pairs)
    if args.offline:
        say("1/4 candles: the stored ones")
    else:
        say("1/4 candles: fetching what is missing")
        _fetch(args, context, pairs)
    frame = timeframe_of(args, context.settings)
    stored = load_range(args, context, pairs, frame, default_days=context.settings.ml.bootstrap_days)
    candles, start, end = stored.candles, stored.start, stored.end

    say("2/4 indicators")
    files = _write_candle_files(candles, start, end, args, context)

    say("3/4 backtest")
    others = beside(bootstrap.candle_store(context.data_dir), stored, context.settings)
    if context.settings.ml.features == "v2" and context.settings.btc not in {*candles, *others}:
        say(f"warning: no {context.settings.btc} candles: the features that look at BTC stay empty")
    everything = args.candidates or loose is not None
    result = run_backtest(candles, context.settings, start, end, candidates=everything, beside=others)
    result = result if loose is None else with_loosened(result, loose.strategy)
    table = context.data_dir / "historical" / TRAINING_CSV
    if len(result) or not table.exists():
        result.write_csv(table)
        files.append(table)
    else:
        say(f"warning: nothing was found in this range, so {table} stays as it was; take more days")

    say(f"4/4 training on {kinds_in_words(result) if everything else f'{len(result)} signals'}")
    report, sentence = _try_training(result, args, context)
    data = {
        "from": iso(start),
        "to": iso(end),
        "files": [str(path) for path in files],
        "backtest": result.summary,
        "adx_min": context.settings.strategy.adx_min if loose is None else args.adx_min,
        "training": report.to_json() if report else None,
        "sentence": sentence,
    }
    text = _pipeline_text(files, result, report, sentence)
    if everything:
        text += (
            f"\n\nLearned from {kinds_in_words(result)}; evaluated on the signals alone. Candidates teach, they never "
            "prove."
        )
    context.result(data, text)
    return 0


def _learning_days(args: argparse.Namespace, settings: Ml) -> int:
    return args.days if args.days is not None else settings.bootstrap_days


@dataclass(frozen=True)
class _Step(Context):
    """A context whose answers are progress: another command run as a part of this one."""

    answers: list[str] = field(default_factory=list)

    def result(self, data: Mapping[str, object], text: str) -> None:
        self.answers.append(text)
        say(text)


def _fetch(args: argparse.Namespace, context: Context, pairs: tuple[Pair, ...]) -> None:
    """Raises MarketError when no pair could be had; one that could not is only warned about."""
    from core.cli.candles import fetch

    step = _Step(context.config_path, context.data_dir, context.json)
    wanted = argparse.Namespace(
        pairs=",".join(map(str, pairs)),
        timeframe=args.timeframe,
        days=None if args.from_ms is not None else _learning_days(args, context.settings.ml),
        from_ms=args.from_ms,
        to_ms=args.to_ms,
    )
    try:
        fetch(wanted, step)
    except MarketError as error:
        if not step.answers:
            raise MarketError(f"{error}; --offline takes the candles that are stored") from error
        say(f"warning: {error}")


def _write_candle_files(
    candles: dict[Pair, Candles], start: int, end: int, args: argparse.Namespace, context: Context
) -> list[Path]:
    """``LINKUSDT_15m_90d.csv`` and ``..._indicators.csv`` for each pair; the paths written."""
    from core.engine.indicators import indicators
    from core.services.candle_csv import csv_name, write_csv
    from core.services.indicator_csv import write_indicators

    told = args.days is not None or args.from_ms is not None
    days = math.ceil((end - start) / DAY_MS) if told else _CSV_DAYS
    first = start if told else max(start, end - days * DAY_MS)
    files = []
    for pair, stored in candles.items():
        used = stored.between(None, end)
        shown = used.between(first, None)
        if not len(shown):
            say(f"warning: {pair} has no candles since {iso(first)}: no files of it")
            continue
        path = context.data_dir / "historical" / csv_name(pair, stored.timeframe, days)
        write_csv(shown, path)
        beside = path.with_name(f"{path.stem}_indicators.csv")
        ind = indicators(used, context.settings.candles.max_gap).rows(len(used) - len(shown), None)
        write_indicators(shown, ind, beside)
        files += [path, beside]
        say(f"  {pair}: {len(shown)} candles")
    return files


def _try_training(result: Backtest, args: argparse.Namespace, context: Context) -> tuple[TrainingReport | None, str]:
    """A report and its sentence; without a report where the samples cannot teach, which is an answer, not a fault."""
    from core.services.samples import samples_of

    try:
        report = _train(samples_of(result, context.settings.ml.label), args, context)
    except ModelError as error:
        return None, f"no model was made: {error}"
    return report, report.sentence


def _pipeline_text(files: list[Path], result: Backtest, report: TrainingReport | None, sentence: str) -> str:
    total: Mapping[str, Any] = result.summary["total"]
    lines = [f"wrote {path}" for path in files]
    rate = "-" if total["win_rate"] is None else f"{total['win_rate']:.1%}"
    lines += ["", f"{total['signals']} signals, {rate} won, {total['realized_r']:+.1f} R before costs"]
    return "\n".join([*lines, *(["", _report_text(report)] if report else ["", sentence])])
