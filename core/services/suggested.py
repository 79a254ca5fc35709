"""Which pairs of the exchange could be added: by turnover, without what is no coin of its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from core.domain.candles import Pair
from core.ports import Market

LEAST_VOLUME = 1_000_000.0
"""USDT in 24 hours: below, an order of ours would move the price, and candles are made of few trades."""

STABLE = frozenset(
    (
        "DAI",
        "SUSDE",
        "FRAX",
        "EURC",
        "EURI",
        "AEUR",
        "EURT",
        "EURQ",
        "EURR",
        "EUR",
        "GBP",
        "TRY",
        "BRL",
        "AUD",
        "JPY",
        "XSGD",
        "GYEN",
        "USTC",
    )
)
"""Coins that stand for money, beside those with USD in their name: they move as a currency does, if at all."""

_NUMBERED = re.compile(r"^(?P<coin>.+?)[2345][LS]$")
_WORDED = re.compile(r"^(?P<coin>.+?)(UP|DOWN|BULL|BEAR)$")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A pair that could be added, with its turnover of 24 hours in USDT."""

    pair: Pair
    volume: float


def ranked(
    markets: Mapping[Pair, Market], volumes: Mapping[Pair, float], taken: Collection[Pair]
) -> tuple[Ranked, ...]:
    """Active USDT pairs beside those ``taken``, the most liquid first."""
    bases = {pair.base for pair in markets}
    found = [
        Ranked(pair, volumes[pair])
        for pair, market in markets.items()
        if market.active
        and pair.quote == "USDT"
        and pair not in taken
        and volumes.get(pair, 0.0) >= LEAST_VOLUME
        and not is_stable(pair.base)
        and not is_leveraged(pair.base, bases)
    ]
    return tuple(sorted(found, key=lambda r: (-r.volume, r.pair)))


def is_stable(base: str) -> bool:
    return base in STABLE or base.startswith("USD") or base.endswith("USD")


def is_leveraged(base: str, bases: Collection[str]) -> bool:
    """``BTC3L``, ``ETH5S``, ``BTCUP``: a name with such an ending, where the rest is a coin of its own (JUP is not)."""
    for pattern in (_NUMBERED, _WORDED):
        match = pattern.match(base)
        if match and match["coin"] in bases:
            return True
    return False
