"""``julaba check``: what would show that a figure is not what it seems. A check that fails ends with exit code 1."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from core import bootstrap
from core.cli import Context, Run, say
from core.cli.options import add_days, add_pairs, add_range, check_range, positive_int
from core.cli.stored import warn_missing
from core.config import Settings
from core.domain.candles import Candles, Pair, iso, to_datetime
from core.errors import DataError, UsageError

if TYPE_CHECKING:
    from core.ports import Ledger
    from core.services.checks.montecarlo import MonteCarlo
    from core.services.checks.parity import Parity

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class _Verb:
    """One check: ``module`` has ``arguments(parser)`` and ``run(args, context)`` of these names."""

    name: str
    help: str
    module: str
    arguments: str
    run: str


_HERE = "core.cli.check"
_VERBS = (
    _Verb("lookahead", "whether anything about the past needs the future", _HERE, "_lookahead_arguments", "_lookahead"),
    _Verb("warmup", "how values change with the history given", _HERE, "_warmup_arguments", "_warmup"),
    _Verb("parity", "the live loop replayed against the backtest", _HERE, "_parity_arguments", "_parity"),
    _Verb("montecarlo", "what chance could have made of it", _HERE, "_montecarlo_arguments", "_montecarlo"),
    _Verb("significance", "the entry rule against random entries", _HERE, "_significance_arguments", "_significance"),
    _Verb("filters", "what each filter kills and is worth", "core.cli.check_filters", "filters_arguments", "filters"),
    _Verb(
        "variants",
        "other choices of the filters, judged as they live",
        "core.cli.check_filters",
        "variants_arguments",
        "variants",
    ),
)


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """A parser per verb; each takes the shared options itself, so that they may stand behind it."""
    from core.cli import shared_options

    verbs = parser.add_subparsers(dest="verb", metavar="CHECK", required=True)
    for verb in _VERBS:
        child = verbs.add_parser(verb.name, help=verb.help, description=verb.help, parents=[shared_options()])
        getattr(importlib.import_module(verb.module), verb.arguments)(child)


def check(args: argparse.Namespace, context: Context) -> int:
    verb = next(v for v in _VERBS if v.name == args.verb)
    run: Run = getattr(importlib.import_module(verb.module), verb.run)
    return run(args, context)


def _common(parser: argparse.ArgumentParser, days: str = "the last N days (default: all that is stored)") -> None:
    add_pairs(parser)
    add_range(parser)
    add_days(parser, days)


def _count(parser: argparse.ArgumentParser, name: str, default: int, help_text: str) -> None:
    parser.add_argument(name, type=positive_int, default=default, metavar="N", help=f"{help_text} (default {default})")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of what is drawn (default: ml.seed)")


def _seed(args: argparse.Namespace, context: Context) -> int:
    seed = context.settings.ml.seed if args.seed is None else int(args.seed)
    if seed < 0:
        raise UsageError(f"--seed {seed} must not be negative")
    return seed


# -- lookahead --


def _lookahead_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cuts the candles at many places, works everything out again, and compares every value, decision and finished "
        "trade before the cut; then changes the candles behind the cut instead. Exit 1 where anything differs."
    )
    _common(parser)
    _count(parser, "--cuts", 100, "places to cut at per pair, half of them right after candidates")


def _lookahead(args: argparse.Namespace, context: Context) -> int:
    from core.cli import check_text
    from core.services.checks.account import check_account
    from core.services.checks.lookahead import check_lookahead, strategy_study

    material = _material(args, context, with_btc=True)
    study = strategy_study(material.settings)
    pairs = [material.range[pair] for pair in material.settings.traded]
    found = []
    with _bar("lookahead", "cut") as bar:
        for number, candles in enumerate(pairs):

            def progress(done: int, _: int, before: int = number * args.cuts) -> None:
                bar(before + done, len(pairs) * args.cuts)

            found.append(check_lookahead(candles, study, args.cuts, progress=progress))
    with _bar("lookahead, account", "cut") as bar:
        account = check_account(
            material.candles, material.settings, material.start, material.end, max(1, args.cuts // 10), progress=bar
        )
    ok = not account.differences and not any(part.leaks for part in found)
    data = {
        "account": {
            "cuts": account.cuts,
            "trades": account.trades,
            "refusals": account.refused,
            "closes": account.closes,
            "differences": [
                {"pair": d.pair, "time": d.time, "field": d.field, "whole": d.first, "found": d.second}
                for d in account.differences
            ],
        },
        "pairs": {
            str(part.pair): {
                "candles": part.candles,
                "cuts": part.cuts,
                "compared": part.compared,
                "rounding": dict(part.rounding),
                "leaks": [asdict(leak) | {"pair": str(leak.pair), "time": iso(leak.time)} for leak in part.leaks],
            }
            for part in found
        },
    }
    verdict = check_text.lookahead_verdict(found, account)
    return _answer(context, material, data, verdict, check_text.lookahead_text(found, account), ok=ok)


# -- warmup --


def _warmup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "How far each value and decision at a candle depends on how much history was given, for 100 to 2000 candles, "
        "and whether candles.history and candles.min_history are enough. Exit 1 where they are not."
    )
    _common(parser)
    _count(parser, "--rows", 100, "candles looked at per pair, half of them candidates")


def _warmup(args: argparse.Namespace, context: Context) -> int:
    from core.cli import check_text
    from core.services.checks.warmup import LENGTHS, check_warmup

    material = _material(args, context)
    with _bar("warmup", "row") as bar:
        found = check_warmup(material.range, material.settings, args.rows, progress=bar)
    if found is None:
        most = max(len(c) for c in material.range.values())
        raise DataError(
            f"no pair has {2 * LENGTHS[-1]} candles without a long gap in this range (most: {most}); take more days"
        )
    data = {
        "rows": found.rows,
        "candidate_rows": found.crossing_rows,
        "lengths": found.lengths,
        "worst": found.worst,
        "regimes": found.regimes,
        "candidates": found.candidates,
        "signals": found.signals,
        "settled": found.settled,
        "decided": found.decided,
        "history": found.settings.history,
        "min_history": found.settings.min_history,
    }
    verdict = check_text.warmup_verdict(found)
    return _answer(context, material, data, verdict, check_text.warmup_text(found), ok=not found.faults)


# -- parity --


def _parity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Replays stored candles through the live loop, once as the bare strategy and once with all layers, and holds "
        "every trade, refusal and close against the backtest and the portfolio backtest. Exit 1 where they differ."
    )
    _common(parser, "the last N days (default 30)")


def _parity(args: argparse.Namespace, context: Context) -> int:
    from core.cli import check_text

    material = _material(args, context, default_days=30, with_btc=True)
    found = asyncio.run(_both(material))
    if not any(part.compared for part in found):
        raise DataError("no trade in this range to compare; take more days")
    data = {
        "layers" if part.layers else "bare": {
            "trades": part.compared,
            "refusals": part.refused,
            "closes": part.closes,
            "differences": [
                {"pair": d.pair, "time": d.time, "field": d.field, "backtest": d.first, "replay": d.second}
                for d in part.differences
            ],
        }
        for part in found
    }
    verdict = check_text.parity_verdict(found)
    text = check_text.parity_text(found)
    return _answer(context, material, data, verdict, text, ok=not any(p.differences for p in found))


async def _both(material: _Material) -> list[Parity]:
    from core.services.checks.parity import check_parity

    found = []
    with TemporaryDirectory(prefix="julaba-parity-") as folder:
        for layers in (False, True):

            @asynccontextmanager
            async def books(name: str = str(layers)) -> AsyncIterator[Ledger]:
                async with bootstrap.replay_ledger(Path(folder) / f"{name}.sqlite") as ledger:
                    yield ledger

            with _bar("parity, all layers" if layers else "parity, bare", "candle") as bar:
                found.append(
                    await check_parity(
                        material.candles,
                        material.settings,
                        books,
                        lambda ms: bootstrap.replay_clock(to_datetime(ms)),
                        material.start,
                        material.end,
                        layers=layers,
                        progress=bar,
                    )
                )
    return found


# -- montecarlo --


def _montecarlo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The account's trades in other orders, and other markets made of the real days in blocks through the whole "
        "portfolio backtest: how the final equity and the drawdown are spread."
    )
    _common(parser, "the last N days (default 90)")
    _count(parser, "--trials", 1000, "orders of the trades")
    _count(parser, "--markets", 200, "other markets")
    _count(parser, "--block-days", 3, "mean length of a block of days")
    _add_seed(parser)
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the picture there")


def _montecarlo(args: argparse.Namespace, context: Context) -> int:
    from core.cli import check_text
    from core.services.checks.montecarlo import check_montecarlo

    material = _material(args, context, default_days=90, with_btc=True)
    seed = _seed(args, context)
    with _bar("montecarlo", "market") as bar:
        found = check_montecarlo(
            material.candles,
            material.settings,
            material.start,
            material.end,
            trials=args.trials,
            markets=args.markets,
            block_days=args.block_days,
            seed=seed,
            progress=bar,
        )
    if found.orders is None and found.markets is None:
        raise DataError("no trade and no whole day in this range to draw from; take more days")
    if args.png is not None:
        _draw(found, args.png)
        say(f"the picture is {args.png}")
    data = check_text.montecarlo_data(found) | {"seed": seed, "png": None if args.png is None else str(args.png)}
    verdict = check_text.montecarlo_verdict(found)
    return _answer(context, material, data, verdict, check_text.montecarlo_text(found), ok=True)


def _draw(found: MonteCarlo, path: Path) -> None:
    from core.reports.check_charts import Chance, montecarlo_chart

    blocks = []
    if (orders := found.orders) is not None:
        note = f"{len(orders.drawn.final):,} draws of {orders.days} days with trades; those of a day stay together"
        title = f"The same {orders.trades} trades, drawn anew"
        drawn = orders.drawn
        blocks.append(Chance(title, note, "days", drawn.fan, drawn.final, drawn.drawdown, *orders.real))
    if (markets := found.markets) is not None:
        note = f"{len(markets.final):,} markets, blocks of {markets.block_days:g} days on average, all pairs together"
        real = markets.real["final"], markets.real["drawdown"]
        blocks.append(
            Chance(
                "Other markets out of the same days", note, "days", markets.fan, markets.final, markets.drawdown, *real
            )
        )
    picture = montecarlo_chart("What chance could have made of it", blocks, found.limit)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)


# -- significance --


def _significance_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Whether entries at the rule's moments do better than the same entries at other moments: shifted along the "
        "timeline by chance, all pairs together, with the same directions and holding times, or with the same exits."
    )
    _common(parser)
    _count(parser, "--trials", 1000, "chance shifts")
    _add_seed(parser)


def _significance(args: argparse.Namespace, context: Context) -> int:
    from core.cli import check_text
    from core.services.checks.significance import check_significance

    material = _material(args, context)
    seed = _seed(args, context)
    with _bar("significance", "line") as bar:
        lines = check_significance(
            material.candles,
            material.settings,
            args.from_ms if args.days is None else material.start,
            args.to_ms,
            trials=args.trials,
            seed=seed,
            progress=bar,
        )
    if not lines:
        raise DataError("no entry in this range to test; take more days")
    data = {"lines": [check_text.comparison_data(line) for line in lines], "seed": seed}
    verdict = check_text.significance_verdict(lines)
    return _answer(context, material, data, verdict, check_text.significance_text(lines), ok=True)


# -- what they share --


@dataclass(frozen=True)
class _Material:
    """What a check works on: all candles up to ``end`` (earlier ones warm up), epoch ms."""

    settings: Settings
    candles: Mapping[Pair, Candles]
    start: int
    end: int

    @property
    def range(self) -> dict[Pair, Candles]:
        """The candles in ``[start, end)`` only."""
        return {pair: c.between(self.start, self.end) for pair, c in self.candles.items()}


def _material(
    args: argparse.Namespace, context: Context, *, default_days: int | None = None, with_btc: bool = False
) -> _Material:
    """Candles of the pairs that have some in the range. Raises UsageError and DataError."""
    from core.services.backtest import stored_candles

    check_range(args)
    if args.days is not None and args.from_ms is not None:
        raise UsageError("--days and --from both say where to begin; give one of them")
    pairs = context.pairs(args.pairs)
    settings = context.settings.with_pairs(pairs)
    store, timeframe = bootstrap.candle_store(context.data_dir), settings.frame
    found = stored_candles(store, pairs, timeframe, args.from_ms, args.to_ms)
    missing = [pair for pair in pairs if pair not in found]
    if not found:
        where = "stored" if args.from_ms is None and args.to_ms is None else "in this range"
        raise DataError(
            f"no {timeframe.name} candles of {', '.join(map(str, missing))} {where}; "
            "get them with `julaba fetch` or `julaba candles import`"
        )
    warn_missing(missing, store.pairs(timeframe), settings.exchange.renames, f"has no {timeframe.name} candles there")
    end = args.to_ms or max(int(c.time[-1]) + timeframe.ms for c in found.values())
    days = args.days if args.days is not None or args.from_ms is not None else default_days
    if args.from_ms is not None:
        start = args.from_ms
    elif days is not None:
        start = end - days * _DAY_MS
    else:
        start = min(int(c.time[0]) for c in found.values())
    candles = {pair: c for pair, c in found.items() if len(c.between(start, end))}
    settings = settings.with_pairs(candles)
    if with_btc and settings.btc not in candles:
        btc = stored_candles(store, (settings.btc,), timeframe, start, end)
        if not btc:
            say(f"warning: no {settings.btc} candles: the BTC check will say that it cannot tell")
        candles |= btc
    return _Material(settings, candles, start, end)


def _answer(
    context: Context, material: _Material, data: Mapping[str, Any], verdict: str, text: str, *, ok: bool
) -> int:
    """Prints the result with its range and verdict; gives the exit code."""
    from core.cli import check_text

    span = {"from": iso(material.start), "to": iso(material.end)}
    context.result(
        _plain({"ok": ok, "verdict": verdict, **span, **data}),
        f"{span['from']} to {span['to']}\n\n{text}\n\n{check_text.wrapped(verdict)}",
    )
    return 0 if ok else 1


def _plain(value: Any) -> Any:
    """For JSON: what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of (done, total)."""
    with tqdm(desc=name, unit=unit, disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
