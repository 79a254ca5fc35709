"""Stored candles for a command, with warnings about pairs that have none and stored ones that nobody asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

from core.bootstrap import candle_store
from core.cli import Context, say
from core.cli.options import timeframe_of
from core.domain.candles import Candles, Pair
from core.errors import DataError


def warn_missing(
    missing: Iterable[Pair], stored: Iterable[Pair], renames: Mapping[str, str], words: str
) -> tuple[Pair, ...]:
    """A line for each pair left out, with its former name where that one is stored; the former names said.

    ``words`` such as "has no 15m candles stored"; ``renames`` as in ``exchange.renames``, old name to new.
    """
    there, said = set(stored), []
    for pair in missing:
        former = [Pair.parse(old) for old, new in renames.items() if Pair.parse(new) == pair]
        hints = [old for old in former if old in there]
        hint = "".join(f"; {old} is stored, its former name: take it with --pairs {old}" for old in hints)
        say(f"warning: {pair} {words} and is left out{hint}")
        said += hints
    return tuple(said)


def load_pairs(
    args: argparse.Namespace,
    context: Context,
    pairs: Sequence[Pair],
    start_ms: int | None,
    *,
    name_others: bool = False,
) -> dict[Pair, Candles]:
    """Candles up to ``--to`` for the pairs that have some in range; warns about the others.

    ``name_others``: also names what is stored but not among ``pairs``. Raises DataError when none has candles.
    """
    from core.services.backtest import stored_candles

    timeframe = timeframe_of(args, context.settings)
    store, settings = candle_store(context.data_dir), context.settings
    found = stored_candles(store, pairs, timeframe, start_ms, args.to_ms)
    where = "in this range" if start_ms is not None or args.to_ms is not None else "stored"
    missing = [str(p) for p in pairs if p not in found]
    if not found:
        raise DataError(
            f"no {timeframe.name} candles of {', '.join(missing)} {where}; "
            "get them with `julaba fetch` or `julaba candles import`"
        )
    stored = store.pairs(timeframe)
    words = f"has no {timeframe.name} candles {where}"
    said = warn_missing([p for p in pairs if p not in found], stored, settings.exchange.renames, words)
    others = [str(p) for p in stored if p not in (*pairs, *said, settings.btc)]
    if name_others and others:
        say(f"warning: stored but not configured, so left out: {', '.join(others)} (--pairs takes them)")
    return found
