"""``julaba backtest``: what became of each signal, and of one account that trades them all."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.bootstrap import candle_store
from core.cli import Context, say
from core.cli.options import (
    add_adx_min,
    add_history,
    add_last_days,
    add_pairs,
    add_range,
    add_timeframe,
    check_range,
    timeframe_of,
)
from core.cli.pictures import write_picture
from core.cli.stored import load_range, with_btc
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe
from core.errors import UsageError
from core.services.stored_range import Stored, beside, smaller

if TYPE_CHECKING:
    from core.services.backtest import Backtest
    from core.services.portfolio import PortfolioRun

_BY = ("regime", "hour", "month")


def backtest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What became of each signal, and what one account would have made of them all under the limits, sizes and "
        "costs of live trading. Neither Gemini, who cannot be asked about the past, nor the model is asked."
    )
    add_pairs(parser)
    add_range(parser)
    add_last_days(parser)
    add_history(parser)
    add_timeframe(parser)
    add_adx_min(parser)
    parser.add_argument("--candidates", action="store_true", help="follow every crossover, not only the signals")
    parser.add_argument("--signals-only", action="store_true", help="without the account that trades them")
    parser.add_argument("--by", choices=_BY, help="also a table by this, of the signal's candle (hours in UTC)")
    parser.add_argument("--details", action="store_true", help="all these tables")
    parser.add_argument("--out", type=Path, metavar="F.csv", help="write the training data there")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page there: curves, trades on candles, tables"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw equity and drawdown there")
    parser.add_argument("--png-months", type=Path, metavar="FILE", help="draw the months there")


def backtest(args: argparse.Namespace, context: Context) -> int:
    from core.cli.backtest_text import account_text, by_text, signals_text
    from core.services.backtest import run_backtest
    from core.services.loosened import loosened_settings

    check_range(args)
    files = [path.absolute() for path in (args.out, args.html, args.png, args.png_months) if path is not None]
    if len(set(files)) < len(files):
        raise UsageError("two of --out, --html, --png and --png-months name the same file; give each its own")
    pairs = context.pairs(args.pairs)
    own = _settings(context.settings.with_pairs(pairs), timeframe_of(args, context.settings))
    settings = own if args.adx_min is None else loosened_settings(own, args.adx_min)
    stored = load_range(args, context, pairs, settings.frame, name_others=args.pairs is None)
    candles, start, end = stored.candles, stored.start, stored.end
    detail = smaller(candle_store(context.data_dir), settings.detail, candles, start, end)
    result = run_backtest(
        candles,
        settings,
        start,
        end,
        history=args.history,
        candidates=args.candidates,
        detail=detail,
        beside=beside(candle_store(context.data_dir), stored, settings) if args.out is not None else None,
    )
    if args.out is not None:
        _write_rows(args, context, stored, own, result, detail)
    portfolio = None if args.signals_only else _account(context, settings, stored, result)
    if any(path is not None for path in (args.html, args.png, args.png_months)):
        _write_report(args, result, portfolio)
    figures = None if portfolio is None else portfolio.figures()
    parts = [signals_text(result.summary, settings)]
    if args.adx_min is not None:
        parts.insert(
            0, f"ADX filter loosened from {own.strategy.adx_min:g} to {args.adx_min:g}, for this backtest only"
        )
    parts += [] if figures is None else [account_text(figures)]
    parts += [by_text(name, result.summary, figures) for name in _BY if args.details or args.by == name]
    adx_min = settings.strategy.adx_min
    context.result({**result.summary, "portfolio": figures, "adx_min": adx_min}, "\n\n".join(parts))
    return 0


def _write_rows(
    args: argparse.Namespace,
    context: Context,
    stored: Stored,
    own: Settings,
    result: Backtest,
    detail: Mapping[Pair, Candles],
) -> None:
    """The training data. With a loosened filter its kind still says what the strategy's own filters would take."""
    if args.adx_min is None:
        result.write_csv(args.out)
        say(f"{len(result)} {'candidates' if args.candidates else 'signals'} written to {args.out}")
        return
    from core.services.backtest import run_backtest
    from core.services.loosened import kinds_in_words, with_loosened

    everything = run_backtest(
        stored.candles,
        own,
        stored.start,
        stored.end,
        history=args.history,
        candidates=True,
        detail=detail,
        beside=beside(candle_store(context.data_dir), stored, own),
    )
    rows = everything if args.candidates else with_loosened(everything, result.settings.strategy)
    rows.write_csv(args.out)
    say(f"{kinds_in_words(rows)} written to {args.out}")


def _write_report(args: argparse.Namespace, result: Backtest, portfolio: PortfolioRun | None) -> None:
    from core.services.backtest_report import backtest_report
    from core.services.whole_file import whole_file

    report = backtest_report(result, portfolio)
    if args.html is not None:
        from core.reports.backtest_page import backtest_page

        page = backtest_page(report)
        with whole_file(args.html) as file:
            file.write(page)
        say(f"report written to {args.html}")
    if args.png is not None:
        from core.reports.backtest_picture import backtest_picture

        write_picture(args.png, backtest_picture(report))
    if args.png_months is not None:
        from core.reports.backtest_picture import backtest_months

        try:
            picture = backtest_months(report)
        except ValueError as error:
            say(f"no picture: {error}")
            return
        write_picture(args.png_months, picture)


def _settings(settings: Settings, timeframe: Timeframe) -> Settings:
    """The settings on another timeframe; a detail timeframe that is not below it then has nothing to tell."""
    if settings.frame == timeframe:
        return settings
    detail = settings.detail_timeframe
    if settings.detail is not None and settings.detail.minutes >= timeframe.minutes:
        detail = "none"
    return settings.model_copy(update={"timeframe": timeframe.name, "detail_timeframe": detail})


def _account(context: Context, settings: Settings, stored: Stored, result: Backtest) -> PortfolioRun:
    """The account's run, with BTC and stored lower timeframes for the rules where there are any."""
    from core.services.portfolio import run_portfolio

    known, store = with_btc(stored, context, settings), candle_store(context.data_dir)
    below = [Timeframe.parse(name) for name in settings.rules.alignment_timeframes]
    warm_up = settings.candles.history * settings.frame.ms
    lower = {
        frame.name: smaller(store, frame, stored.candles, result.start_ms - warm_up, result.end_ms)
        for frame in below
        if frame.minutes < settings.frame.minutes
    }
    return run_portfolio(known, settings, lower=lower, backtest=result)
