"""Which of the wanted pairs the exchange no longer trades, and what may have become of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from core.domain.candles import Pair
from core.ports import Market


@dataclass(frozen=True, slots=True)
class PairProblem:
    """A pair that cannot be traded, why, and its likely successor among the active pairs."""

    pair: Pair
    reason: str  # such as "is not listed by the exchange"
    successor: Pair | None
    listed: bool  # it is there, but does not trade at the moment

    def __str__(self) -> str:
        hint = f"; its likely successor is {self.successor}" if self.successor else ""
        return f"{self.pair} {self.reason}{hint}"


def check_pairs(markets: Mapping[Pair, Market], pairs: Iterable[Pair], renames: Mapping[str, str]) -> list[PairProblem]:
    """The pairs that are unknown or do not trade, in the order given. ``renames`` as in ``exchange.renames``."""
    problems = []
    for pair in pairs:
        market = markets.get(pair)
        if market is None:
            problems.append(
                PairProblem(pair, "is not listed by the exchange", _successor(pair, markets, renames), False)
            )
        elif not market.active:
            successor = _renamed(pair, markets, renames)
            problems.append(PairProblem(pair, "is listed but does not trade at the moment", successor, True))
    return problems


def _successor(pair: Pair, markets: Mapping[Pair, Market], renames: Mapping[str, str]) -> Pair | None:
    """By the rename map, else the active pair whose name is nearly the same: most unknown names are slips."""
    if renamed := _renamed(pair, markets, renames):
        return renamed
    bases = [market.pair.base for market in markets.values() if market.active and market.pair.quote == pair.quote]
    close = get_close_matches(pair.base, sorted(bases), n=1, cutoff=0.75)
    return Pair(close[0], pair.quote) if close else None


def _renamed(pair: Pair, markets: Mapping[Pair, Market], renames: Mapping[str, str]) -> Pair | None:
    if str(pair) not in renames:
        return None
    successor = Pair.parse(renames[str(pair)])
    return successor if successor in markets and markets[successor].active else None
