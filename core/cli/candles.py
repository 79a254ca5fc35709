"""``fetch`` and ``candles import | check | export``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from core import bootstrap
from core.cli import Context, say
from core.cli.options import add_days, add_pairs, add_range, add_timeframe, check_range, timeframe_of
from core.domain.candles import DAY_MS, Candles, Pair, Timeframe, iso
from core.engine.candle_faults import Gap, find_changes, find_faults, find_gaps, shown_time
from core.errors import DataError, JulabaError, MarketError, UsageError
from core.ports import CandleStore, MarketData
from core.services import candle_csv
from core.services.fetch import FetchResult, Progress, fetch_history, patiently
from core.services.markets import PairProblem, check_pairs

TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h")
SHOWN = 10  # faults or gaps of one file in a text answer; --json has them all


class Files(CandleStore, Protocol):
    """A candle store whose files can be looked at as they are: what ``candles check`` needs."""

    def path(self, pair: Pair, timeframe: Timeframe) -> Path: ...

    def read(self, pair: Pair, timeframe: Timeframe) -> Candles: ...


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    add_pairs(parser)
    add_timeframe(parser)
    add_days(parser, "how far back (default: ml.bootstrap_days)")
    add_range(parser)


def fetch(args: argparse.Namespace, context: Context) -> int:
    """Downloads what is missing. A pair that cannot be had does not keep the others; it makes the exit code 1."""
    check_range(args)
    settings = context.settings
    pairs = context.pairs(args.pairs)
    if args.pairs is None:
        pairs = tuple(dict.fromkeys((*pairs, settings.btc)))  # the reference of the correlations
    outcome = asyncio.run(_fetch(args, context, pairs))
    if outcome.results:
        context.result(outcome.json(), outcome.text())
    if outcome.failures:
        raise MarketError("; ".join(outcome.failures.values()))
    return 0


@dataclass(frozen=True)
class _Fetched:
    timeframe: Timeframe
    start: int
    end: int
    results: list[FetchResult]
    failures: dict[Pair, str]

    def json(self) -> Mapping[str, object]:
        return {
            "timeframe": self.timeframe.name,
            "from": iso(self.start),
            "to": iso(self.end),
            "pairs": {
                str(r.pair): {
                    "new": r.new,
                    "candles": r.stored,
                    "missing": r.missing,
                    "first": iso(r.first) if r.first is not None else None,
                    "last": iso(r.last) if r.last is not None else None,
                }
                for r in self.results
            },
            "failed": {str(pair): reason for pair, reason in self.failures.items()},
        }

    def text(self) -> str:
        return "\n".join(_fetched_line(r) for r in self.results)


def _fetched_line(r: FetchResult) -> str:
    held = (
        f"{r.stored} candles"
        if r.first is None or r.last is None
        else f"{r.stored} from {iso(r.first)} to {iso(r.last)}"
    )
    missing = f", {r.missing} not on the exchange" if r.missing else ""
    return f"{r.pair!s:<12} {r.new} new, {held}{missing}"


async def _fetch(args: argparse.Namespace, context: Context, pairs: Sequence[Pair]) -> _Fetched:
    market = bootstrap.market(context.settings)
    try:
        now_ms = await patiently(market.server_time)
        problems = check_pairs(await patiently(market.markets), pairs, context.settings.exchange.renames)
        for problem in problems:
            say(f"warning: {problem}")
        timeframe = timeframe_of(args, context.settings)
        end = timeframe.floor(min(now_ms, args.to_ms if args.to_ms is not None else now_ms))
        days = args.days or context.settings.ml.bootstrap_days
        start = args.from_ms if args.from_ms is not None else end - days * DAY_MS
        job = _Job(market, bootstrap.candle_store(context.data_dir), timeframe, start, end, now_ms, context)
        return await job.run(pairs, problems)
    finally:
        await market.close()


@dataclass(frozen=True)
class _Job:
    """One fetch of many pairs, side by side."""

    market: MarketData
    store: CandleStore
    timeframe: Timeframe
    start: int
    end: int
    now: int
    context: Context

    async def run(self, pairs: Sequence[Pair], problems: Sequence[PairProblem]) -> _Fetched:
        failures = {p.pair: str(p) for p in problems if not p.listed}
        wanted = [pair for pair in pairs if pair not in failures]
        with ExitStack() as bars:
            shown = sys.stderr.isatty() and not self.context.json
            progress = [_bar(bars, pair, line) if shown else _no_bar for line, pair in enumerate(wanted)]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(p, show)) for p, show in zip(wanted, progress, strict=True)]
        answers = dict(zip(wanted, (task.result() for task in tasks), strict=True))
        failures |= {pair: answer for pair, answer in answers.items() if isinstance(answer, str)}
        results = [answer for answer in answers.values() if not isinstance(answer, str)]
        return _Fetched(self.timeframe, self.start, self.end, results, failures)

    async def _one(self, pair: Pair, progress: Progress) -> FetchResult | str:
        """What was fetched, or a sentence why not."""
        try:
            result = await fetch_history(
                self.market,
                self.store,
                pair,
                self.timeframe,
                self.start,
                self.end,
                self.now,
                page=self.context.settings.exchange.page,
                progress=progress,
            )
        except JulabaError as error:
            return f"{pair}: {error}"
        except OSError as error:
            return f"{pair}: its candles cannot be stored ({error.strerror or error})"
        if progress is _no_bar:
            say(f"{pair}: {result.new} new candles")
        return result


def _no_bar(done: int, total: int) -> None:
    pass


def _bar(stack: ExitStack, pair: Pair, line: int) -> Progress:
    from tqdm import tqdm

    bar = stack.enter_context(tqdm(desc=f"{pair!s:<12}", position=line, unit=" candles", file=sys.stderr))

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress


def candles_arguments(parser: argparse.ArgumentParser) -> None:
    # The shared options stand before the verb; each is understood behind it too.
    verbs = parser.add_subparsers(dest="verb", metavar="import|check|export", required=True)
    bring = verbs.add_parser("import", help="read klines from CSV or CSV.gz")
    bring.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, or folders of them")
    check = verbs.add_parser("check", help="look for gaps and faults in stored candles or in files")
    check.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="CSV files instead of what is stored")
    export = verbs.add_parser("export", help="write CSV files such as LINKUSDT_15m_90d.csv")
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (default: historical/ in the data directory)")
    add_days(export, "the last N days (default: all)")
    for verb in (check, export):
        add_pairs(verb)
        add_timeframe(verb)
    for verb in (bring, check, export):
        _shared_again(verb)


def _shared_again(verb: argparse.ArgumentParser) -> None:
    """``--json`` and its like may also stand behind the verb; not given there, what stood before it remains."""
    absent = argparse.SUPPRESS
    verb.add_argument("--config", type=Path, default=absent, metavar="FILE", help="settings (default ./config.yaml)")
    verb.add_argument("--data-dir", type=Path, default=absent, metavar="DIR", help="everything written lies here")
    verb.add_argument("--json", action="store_true", default=absent, help="print exactly one JSON object on stdout")
    verb.add_argument("--verbose", "-v", action="store_true", default=absent, help="show the log on stderr")


def candles(args: argparse.Namespace, context: Context) -> int:
    verbs = {"import": _import, "check": _check, "export": _export}
    return verbs[args.verb](args, context, bootstrap.candle_store(context.data_dir))


@dataclass(frozen=True)
class _Report:
    """One file's candles for the answer. ``new`` when they were stored; gaps only where nothing is wrong.

    ``changed``: the times of candles that were stored before with other values.
    """

    file: Path
    candles: Candles
    faults: tuple[str, ...] = ()
    new: int | None = None
    changed: tuple[int, ...] = ()

    @cached_property
    def gaps(self) -> list[Gap]:
        return [] if self.faults else find_gaps(self.candles)

    @property
    def missing(self) -> int:
        return sum(gap.missing for gap in self.gaps)

    @property
    def span(self) -> tuple[str, str] | None:
        return None if self.faults or not len(self.candles) else _span(self.candles)

    def json(self) -> dict[str, object]:
        first, last = self.span or (None, None)
        return {
            "file": str(self.file),
            "pair": str(self.candles.pair),
            "timeframe": self.candles.timeframe.name,
            "candles": len(self.candles),
            "first": first,
            "last": last,
            "missing": self.missing,
            "gaps": [{"from": iso(g.start), "to": iso(g.end), "missing": g.missing} for g in self.gaps],
            **({} if self.new is None else {"new": self.new, "changed": len(self.changed)}),
            **({"first_changed": iso(self.changed[0])} if self.changed else {}),
            **({} if self.new is not None else {"faults": list(self.faults)}),
        }

    def text(self) -> str:
        stored = "" if self.new is None else f", {self.new} new"
        if self.changed:
            stored += (
                f", {len(self.changed)} stored before with other values and replaced, first {iso(self.changed[0])}"
            )
        span = f" from {self.span[0]} to {self.span[1]}" if self.span else ""
        head = f"{self.candles.pair!s:<12} {self.candles.timeframe.name:<4} {len(self.candles)} candles{span}{stored}"
        return "\n".join([head, *_listed("fault", self.faults), *_listed("gap", [str(gap) for gap in self.gaps])])


def _listed(word: str, found: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(found) - SHOWN} more {word}s (all with --json)"] if len(found) > SHOWN else []
    return [f"  {word}: {text}" for text in found[:SHOWN]] + more


def _span(candles: Candles) -> tuple[str, str]:
    return iso(int(candles.time[0])), iso(int(candles.time[-1]))


def _answer(context: Context, reports: Sequence[_Report]) -> None:
    context.result({"files": [r.json() for r in reports]}, "\n".join(r.text() for r in reports))


def _import(args: argparse.Namespace, context: Context, store: Files) -> int:
    """All files are read and checked before the first is stored."""
    read = [(path, candle_csv.read_csv(path)) for path in _files(args.paths)]
    _answer(context, [_imported(path, candles, store) for path, candles in read])
    return 0


def _imported(path: Path, candles: Candles, store: Files) -> _Report:
    before = store.load(candles.pair, candles.timeframe)
    return _Report(path, candles, new=store.save(candles), changed=tuple(find_changes(before, candles).tolist()))


def _files(paths: Iterable[Path]) -> list[Path]:
    """The files named, folders opened. Raises DataError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.iterdir() if p.name.endswith(candle_csv.SUFFIXES)) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path} holds no .csv or .csv.gz files")
        found += inside
    return list(dict.fromkeys(found))


def _check(args: argparse.Namespace, context: Context, store: Files) -> int:
    """Exit 1 when anything is wrong; a gap alone is not."""
    if args.paths and (args.pairs is not None or args.timeframe):
        raise UsageError("files say their pair and timeframe themselves: leave --pairs and --timeframe out")
    reports = [_checked_file(p) for p in _files(args.paths)] if args.paths else _checked_store(args, context, store)
    _answer(context, reports)
    if faults := sum(len(report.faults) for report in reports):
        raise DataError(f"{faults} fault{'s' if faults > 1 else ''} found")
    return 0


def _checked_file(path: Path) -> _Report:
    candles, faults = candle_csv.check_csv(path)
    return _Report(
        path, candles, tuple(f"line {fault.line} ({fault.time or 'no time'}): {fault.reason}" for fault in faults)
    )


def _checked_store(args: argparse.Namespace, context: Context, store: Files) -> list[_Report]:
    """What is stored of the pairs named, else everything stored."""
    if args.pairs is not None:
        wanted = [(pair, timeframe_of(args, context.settings)) for pair in context.pairs(args.pairs)]
    else:
        frames = [args.timeframe] if args.timeframe else [Timeframe.parse(name) for name in TIMEFRAMES]
        wanted = [(pair, frame) for frame in frames for pair in store.pairs(frame)]
    if not wanted:
        raise DataError(f"no candles are stored in {context.data_dir}; fetch or import some")
    return [_checked_pair(pair, frame, store) for pair, frame in wanted]


def _checked_pair(pair: Pair, timeframe: Timeframe, store: Files) -> _Report:
    path = store.path(pair, timeframe)
    if not path.exists():
        raise DataError(f"no {timeframe.name} candles of {pair} are stored; fetch or import them")
    try:
        candles = store.read(pair, timeframe)
    except DataError as error:
        return _Report(path, Candles.empty(pair, timeframe), (str(error),))
    return _Report(
        path, candles, tuple(f"row {f.row} ({shown_time(f.time)}): {f.reason}" for f in find_faults(candles))
    )


def _export(args: argparse.Namespace, context: Context, store: Files) -> int:
    timeframe = timeframe_of(args, context.settings)
    folder = args.out or context.data_dir / "historical"
    written = []
    for pair in context.pairs(args.pairs):
        stored = store.load(pair, timeframe)
        if not len(stored):
            say(f"warning: no {timeframe.name} candles of {pair} are stored")
            continue
        end = int(stored.time[-1]) + timeframe.ms
        chosen = stored if args.days is None else stored.between(end - args.days * DAY_MS, end)
        days = args.days or -(-(end - int(stored.time[0])) // DAY_MS)
        path = folder / candle_csv.csv_name(pair, timeframe, days)
        candle_csv.write_csv(chosen, path)
        written.append(_Written(path, chosen))
    if not written:
        raise DataError("there was nothing to export; fetch or import candles first")
    context.result({"files": [w.json() for w in written]}, "\n".join(w.text() for w in written))
    return 0


@dataclass(frozen=True)
class _Written:
    path: Path
    candles: Candles

    def json(self) -> dict[str, object]:
        first, last = _span(self.candles)
        pair, count = str(self.candles.pair), len(self.candles)
        return {"file": str(self.path), "pair": pair, "candles": count, "first": first, "last": last}

    def text(self) -> str:
        first, last = _span(self.candles)
        return f"{self.path}: {len(self.candles)} candles from {first} to {last}"
