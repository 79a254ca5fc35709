"""Stored candles for a command, with warnings about pairs that have none and stored ones that nobody asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from core.bootstrap import candle_store
from core.cli import Context, say
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, iso
from core.errors import DataError
from core.services.stored_range import Stored, within


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
    range_ = within(found, args.from_ms, args.to_ms, getattr(args, "days", None) or default_days)
    candles, start, end = range_.candles, range_.start, range_.end
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
    return replace(range_, end=min(end, range_.last))


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
