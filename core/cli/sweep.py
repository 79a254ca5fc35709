"""``julaba sweep``: many settings, and an honest word on the best of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from core import bootstrap
from core.cli import Context, say
from core.cli.options import (
    add_last_days,
    add_pairs,
    add_range,
    add_seed,
    add_timeframe,
    check_range,
    positive_int,
    seed_of,
    timeframe_of,
)
from core.cli.pictures import write_picture
from core.cli.stored import load_range
from core.domain.candles import DAY_MS, iso
from core.errors import UsageError
from core.services.whole_file import whole_file

if TYPE_CHECKING:
    from core.services.sweep.grid import Grid
    from core.services.sweep.plan import Sweep
    from core.services.sweep.pools import Pool
    from core.services.sweep.run import SweepRun


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Tries many settings on stored candles. The range is cut into --windows windows one after the other, each an "
        "in-sample part and the out-of-sample part behind it; no parts overlap, and no trade reaches from one into the "
        "next. Every setting is shown in-sample beside out-of-sample, with the deflated Sharpe ratio: the probability "
        "that it is more than the luck of the best of so many. What is done is kept: after a Ctrl-C, a crash or a kill "
        "the same call goes on where it stopped."
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="a strategy setting and its values, such as adx_min=20:35:2.5 (a range with its end) or stop_atr=1.5,2; "
        "again for each setting (also fills, paper.fee_rate, paper.slippage_rate)",
    )
    parser.add_argument("--random", type=positive_int, metavar="N", help="only N of all combinations, by lot")
    add_seed(parser, "the lot")
    add_pairs(parser)
    add_range(parser)
    add_last_days(parser)
    add_timeframe(parser)
    parser.add_argument("--windows", type=positive_int, default=4, metavar="K", help="walk-forward windows (4)")
    parser.add_argument(
        "--train-share", type=_share, default=0.7, metavar="X", help="in-sample share of each window (0.7)"
    )
    parser.add_argument("--jobs", type=positive_int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--dask", metavar="ADDRESS", help="work on this Dask cluster, such as tcp://10.0.0.1:8786")
    parser.add_argument(
        "--sort", choices=("is", "oos"), default="is", help="best first in-sample (default) or out-of-sample"
    )
    parser.add_argument("--out", type=Path, metavar="F.parquet", help="write every setting, pair and part there too")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw a heat map there")
    parser.add_argument("--axes", metavar="X,Y", help="its two settings (default: those with the most values)")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.1 <= share <= 0.9:
        raise UsageError(f"--train-share {text!r} must be a share from 0.1 to 0.9")
    return share


def sweep(args: argparse.Namespace, context: Context) -> int:
    from core.cli.sweep_words import picture_notes, to_json, to_text
    from core.services.sweep.grid import DEFAULT_GRID, parse_grid
    from core.services.sweep.heat import heat_axes
    from core.services.sweep.plan import plan_sweep
    from core.services.sweep.run import run_sweep
    from core.services.sweep.verdict import judge

    check_range(args)
    pool = _pool(args)
    base = context.settings
    grid = parse_grid(args.set, base, sample=args.random, seed=seed_of(args, base))
    stored = load_range(args, context, context.pairs(args.pairs), timeframe_of(args, base))
    candles = stored.candles
    # No window where nothing is stored.
    start = max(stored.start, min(int(c.time[0]) for c in candles.values()))
    end = min(stored.end, max(int(c.time[-1]) + c.timeframe.ms for c in candles.values()))
    plan = plan_sweep(grid, base, candles, start, end, windows=args.windows, train_share=args.train_share)
    axes = heat_axes(plan, _names(args.axes)) if args.png or args.axes else None
    if not args.set:
        say(f"no --set: trying {' '.join(DEFAULT_GRID)}")
    if base.detail_timeframe != "none":
        say("a sweep takes the stop first inside a candle: detail_timeframe is for the backtest")
    say(_begin(grid, plan, start, end))

    with tqdm(total=len(grid.settings), desc="settings", unit="", disable=None, leave=False) as bar:
        run = run_sweep(
            plan,
            bootstrap.candle_store(context.data_dir),
            context.data_dir / "sweeps",
            pool,
            lambda done, total: _show(bar, done),
        )
    if run.found:
        say(f"{run.found:,} of {len(grid.settings):,} settings were there")
    verdict = judge(plan, run.table)
    if args.out is not None:
        with whole_file(args.out) as file:
            file.buffer.write(run.results.read_bytes())
        say(f"{run.table.num_rows:,} rows written to {args.out}")
    if args.png is not None and axes is not None:
        _draw(args.png, run, axes, picture_notes(verdict))
    files = {"folder": str(run.folder), "results": str(run.results), "png": str(args.png) if args.png else None}
    context.result({**to_json(verdict, args.sort), "found": run.found, **files}, to_text(verdict, args.sort))
    return 0


def _names(axes: str | None) -> tuple[str, ...]:
    """Of ``--axes X,Y``. Raises UsageError for more than two."""
    names = tuple(name.strip().removeprefix("strategy.") for name in (axes or "").split(",") if name.strip())
    if len(names) > 2 or len(set(names)) < len(names):
        raise UsageError(f"--axes {axes!r} must name two settings, such as adx_min,stop_atr")
    return names


def _show(bar: tqdm[Any], done: int) -> None:
    if not bar.n:
        bar.initial = done  # what was there already says nothing about the pace
    bar.update(done - bar.n)


def _pool(args: argparse.Namespace) -> Pool:
    if args.dask is None:
        from core.services.sweep.pools import on_cores

        return on_cores(args.jobs)
    if args.jobs is not None:
        raise UsageError("--jobs is for this machine; with --dask the cluster's workers do the work")
    from core.services.sweep.cluster import on_cluster

    return on_cluster(args.dask)


def _begin(grid: Grid, plan: Sweep, start: int, end: int) -> str:
    settings = f"{len(grid.settings):,} settings"
    if len(grid.settings) < grid.combinations:
        settings += f" of {grid.combinations:,}"
    return f"{settings}, {_pairs(plan)}, {(end - start) / DAY_MS:,.0f} days: {plan.sweep_id}"


def _pairs(plan: Sweep) -> str:
    count = len(plan.ground.pairs)
    return "1 pair" if count == 1 else f"{count} pairs"


def _draw(path: Path, run: SweepRun, axes: Sequence[str], notes: tuple[str, ...]) -> None:
    from core.reports.sweep_charts import heat_chart
    from core.services.sweep.heat import heat_map

    heat = heat_map(run.sweep, run.table, axes[0], axes[1])
    first, last = (iso(ms)[:10] for ms in (run.sweep.ground.segments[0].start_ms, run.sweep.ground.end_ms))
    title = f"{len(run.sweep.settings):,} settings, {_pairs(run.sweep)}, {first} to {last}"
    try:
        picture = heat_chart(heat, title, notes)
    except ValueError as error:
        say(f"no picture: {error}")
        return
    write_picture(path, picture)
