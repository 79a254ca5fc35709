"""Pairs that were added from the chat: kept in the store, beside the configured ones when the engine is built."""

from __future__ import annotations

from collections.abc import Iterable

from core.config import PairSettings, Settings
from core.domain.candles import Pair
from core.errors import UsageError

MOST_PAIRS = 60
"""Configured and added together: each is a request at every close, and two years of history to learn from."""

ADDED_RISK = 0.5
"""The risk multiplier of an added pair, until somebody sets another: nobody knows yet how it does."""


def with_added(settings: Settings, added: Iterable[str]) -> Settings:
    """The settings with these pairs behind the configured ones; one that is configured by now is simply that.

    No more than ``MOST_PAIRS`` in all, unless so many are configured. What is no pair is left out.
    """
    known = {p.symbol for p in settings.pairs}
    more = [PairSettings(symbol=symbol, risk=ADDED_RISK) for symbol in dict.fromkeys(added) if _new(symbol, known)]
    room = max(0, MOST_PAIRS - len(settings.pairs))
    return settings.model_copy(update={"pairs": (*settings.pairs, *more[:room])}) if more and room else settings


def _new(symbol: str, known: set[str]) -> bool:
    try:
        return str(Pair.parse(symbol)) == symbol and symbol not in known
    except UsageError:
        return False
