"""Stored candles for a command, with warnings about pairs that have none and stored ones that nobody asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.bootstrap import candle_store
from core.cli import Context, say
from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, Timeframe, iso
from core.errors import DataError


@dataclass(frozen=True, eq=False)
class Stored:
    """The pairs that have candles in ``[start, end)``, epoch ms, each with all before ``end``: earlier ones warm up."""

    candles: dict[Pair, Candles]
    start: int
    end: int


def load_range(
    args: argparse.Namespace,
    context: Context,
    pairs: Sequence[Pair],
    timeframe: Timeframe,
    *,
    default_days: int | None = None,
    name_others: bool = False,
) -> Stored:
    """Candles in the range of ``--from``, ``--to`` and, if there is one, ``--days``. Warns about pairs left out.

    Where no beginning is named it is ``default_days`` before the end, else the first candle; without ``--to`` the end
    is the last candle's close. The end does not reach beyond that close, nor days beyond the first candle.
    ``name_others``: also names what is stored but not among ``pairs``. Raises DataError when no pair has candles there.
    """
    from core.services.backtest import stored_candles

    store = candle_store(context.data_dir)
    found = stored_candles(store, pairs, timeframe, args.from_ms, args.to_ms)
    if not found:
        names = ", ".join(map(str, pairs))
        raise DataError(
            f"no {timeframe.name} candles of {names} {_where(args.from_ms, args.to_ms)}; "
            "get them with `julaba fetch` or `julaba candles import`"
        )
    first = min(int(c.time[0]) for c in found.values())
    last = max(int(c.time[-1]) + timeframe.ms for c in found.values())
    end = args.to_ms or last
    days = getattr(args, "days", None) or default_days
    start = max(first, end - days * DAY_MS) if days else first
    start = start if args.from_ms is None else args.from_ms
    candles = {pair: c for pair, c in found.items() if len(c.between(start, end))}
    if not candles:
        raise DataError(f"no {timeframe.name} candles {_where(start, end)}; take another range")
    stored = store.pairs(timeframe)
    words = {
        pair: f"has no {timeframe.name} candles {_where(start, end) if pair in stored else 'stored'}"
        for pair in pairs
        if pair not in candles
    }
    said = _warn_missing(words, stored, context.settings.exchange.renames)
    others = [str(p) for p in stored if p not in (*pairs, *said, context.settings.btc)]
    if name_others and others:
        say(f"warning: stored but not configured, so left out: {', '.join(others)} (--pairs takes them)")
    # What is told of a range, its days and rates, holds for candles that are there.
    return Stored(candles, start, min(end, last))


def with_btc(stored: Stored, context: Context, settings: Settings) -> dict[Pair, Candles]:
    """The candles with those of ``settings.btc`` beside them, for the rules that look there; warns without any."""
    from core.services.backtest import stored_candles

    if settings.btc in stored.candles:
        return stored.candles
    store = candle_store(context.data_dir)
    btc = stored_candles(store, (settings.btc,), settings.frame, stored.start, stored.end)
    if not btc:
        say(f"warning: no {settings.btc} candles: the BTC check will say that it cannot tell")
    return stored.candles | btc


def beside(stored: Stored, context: Context, settings: Settings) -> dict[Pair, Candles]:
    """Stored candles of BTC and of the settings' other pairs, for the features that look there."""
    store = candle_store(context.data_dir)
    others = dict.fromkeys(p for p in (*settings.traded, settings.btc) if p not in stored.candles)
    frame = next(iter(stored.candles.values())).timeframe
    loaded = {pair: store.load(pair, frame, None, stored.end) for pair in others}
    return {pair: candles for pair, candles in loaded.items() if len(candles)}


def _warn_missing(missing: Mapping[Pair, str], stored: Iterable[Pair], renames: Mapping[str, str]) -> tuple[Pair, ...]:
    """A line for each pair left out, with its former name where that one is stored; the former names said.

    ``missing``: why, such as "has no 15m candles stored"; ``renames`` as in ``exchange.renames``, old name to new.
    """
    there, said = set(stored), []
    for pair, words in missing.items():
        former = [Pair.parse(old) for old, new in renames.items() if Pair.parse(new) == pair]
        hints = [old for old in former if old in there]
        hint = "".join(f"; {old} is stored, its former name: take it with --pairs {old}" for old in hints)
        say(f"warning: {pair} {words} and is left out{hint}")
        said += hints
    return tuple(said)


def _where(start_ms: int | None, end_ms: int | None) -> str:
    named = [f"{word} {iso(ms)}" for word, ms in (("from", start_ms), ("to", end_ms)) if ms is not None]
    return " ".join(named) or "stored"
