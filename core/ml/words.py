"""Contributions in a trader's words: ``ADX 31 +0.42``. The one place that knows each feature's name, unit and digits.

A share is in log-odds: above 0 it speaks for a win, below 0 against. Near a probability of 40% a tenth is about two and
a half points; it is left in log-odds because only there do the shares add up, whatever the order they are taken in.
What a trader thinks of as one thing stands on one line: the regime, which a model sees as four numbers of 0 and 1, and
the RSI beside the RSI turned by the direction. Their shares are Shapley values, so that the line's is their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.domain.trading import Direction, Reason, Regime
from core.ml.prediction import BASE

NOT_KNOWN = "not known"
_SMALLEST = 0.005  # of the log-odds: a tenth of a percentage point
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that moved a prediction: its name, its value in words, its share of the log-odds.

    ``features`` are the names of those whose shares it sums.
    """

    name: str
    value: str
    share: float
    features: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name} {self.value}"

    @property
    def words(self) -> str:
        return f"{self.label} {share_words(self.share)}"


@dataclass(frozen=True)
class _Word:
    """``written`` turns a known value into text; ``group`` is the feature on whose line this one stands."""

    name: str
    written: Callable[[float], str] = field(repr=False)
    group: str = ""


def _fixed(digits: int, unit: str = "", sign: str = "") -> Callable[[float], str]:
    return lambda value: f"{_no_minus_zero(value, digits):{sign}.{digits}f}{unit}"


def _share(unit: str) -> Callable[[float], str]:
    return lambda value: f"{value:.0%}{unit}"


def _times(unit: str = "") -> Callable[[float], str]:
    return lambda value: f"×{value:.1f}{unit}"


def _turned(unit: str) -> Callable[[float], str]:
    """For what is above 0 where it went the trade's way."""
    return lambda value: f"{abs(value):.1f} {unit} {'in favour' if value >= 0 else 'against'}"


def _day(value: float) -> str:
    return _DAYS[int(value)] if value in range(len(_DAYS)) else f"{value:g}"


def _direction(value: float) -> str:
    return Direction.LONG.value if value > 0 else Direction.SHORT.value


def _regime(regime: Regime) -> _Word:
    return _Word("regime", lambda value: regime.value if value else f"not {regime.value}", _REGIME)


_REGIME = "regime"
_REGIMES = {
    "regime_trending": Regime.TRENDING,
    "regime_choppy": Regime.CHOPPY,
    "regime_weak_trending": Regime.WEAK_TRENDING,
    "regime_volatile": Regime.VOLATILE,
}

WORDS: Mapping[str, _Word] = {
    "entry_atr_percent": _Word("ATR", _fixed(2, "%")),
    "entry_rsi": _Word("RSI", _fixed(0)),
    "entry_adx": _Word("ADX", _fixed(0)),
    "entry_volume_ratio": _Word("volume", _times()),
    "entry_hurst": _Word("Hurst", _fixed(2)),
    "entry_sma_distance_percent": _Word("distance to SMA 40", _fixed(1, "%", "+")),
    "entry_hour": _Word("hour", _fixed(0, " UTC")),
    "entry_day_of_week": _Word("day", _day),
    **{name: _regime(regime) for name, regime in _REGIMES.items()},
    "direction_sign": _Word("direction", _direction),
    "signed_rsi": _Word("turned RSI", _turned("points"), "entry_rsi"),
    "signed_di": _Word("DI", _turned("points")),
    "signed_sma_distance": _Word("distance to SMA 40", _turned("%"), "entry_sma_distance_percent"),
    "return_4": _Word("last 4 candles", _turned("ATR")),
    "return_16": _Word("last 16 candles", _turned("ATR")),
    "return_96": _Word("last 96 candles", _turned("ATR")),
    "volatility_ratio": _Word("volatility", _times(" its day's")),
    "range_position": _Word("day's range", _share(" of the way")),
    "timeframe_alignment": _Word("longer timeframes", _share(" agree")),
    "trend_strength": _Word("longer trend", _turned("ATR")),
    "btc_correlation": _Word("BTC correlation", _fixed(2)),
    "btc_return_4": _Word("BTC's 4 candles", _turned("sd")),
    "btc_return_16": _Word("BTC's 16 candles", _turned("sd")),
    "return_rank": _Word("day's move ahead of", _share(" of the pairs")),
}
"""Every feature's word."""


def name_of(feature: str) -> str:
    """A feature as a trader calls it, without a value."""
    return _word(feature).name


def lines(reasons: Sequence[Reason]) -> tuple[Line, ...]:
    """What moved a prediction, the strongest first; with ``base_of`` the shares sum to its log-odds."""
    groups: dict[str, list[Reason]] = {}
    for reason in reasons:
        if reason[0] != BASE:
            word = WORDS.get(reason[0])
            groups.setdefault((word.group if word else "") or reason[0], []).append(reason)
    found = [_line(group, members) for group, members in groups.items()]
    return tuple(sorted(found, key=lambda line: (-abs(line.share), line.name)))


def base_of(reasons: Sequence[Reason]) -> float | None:
    """The log-odds before any feature has spoken; None where no reasons were kept."""
    return next((share for name, _, share in reasons if name == BASE), None)


def probability_of(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def label_of(name: str, value: float | None) -> str:
    """One feature alone: ``RSI 64``; the base by name."""
    if name == BASE:
        return "before anything is known"
    word = _word(name)
    return f"{word.name} {NOT_KNOWN if value is None else word.written(value)}"


def told(found: Sequence[Line], most: int) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The strongest of ``lines`` and the rest: those beyond ``most``, and those that are nothing to two digits."""
    shown = tuple(line for line in found[:most] if abs(line.share) >= _SMALLEST)
    return shown, tuple(found[len(shown) :])


def rest_words(rest: Sequence[Line]) -> str:
    """``9 smaller ones together -0.02``."""
    together = share_words(math.fsum(line.share for line in rest))
    return f"{len(rest)} smaller ones together {together}" if len(rest) > 1 else rest[0].words


def strongest(reasons: Sequence[Reason], count: int = 3) -> str:
    """``ADX 31 +0.42 · RSI 64 -0.10``; empty where no reasons were kept, or nothing moved it."""
    return " · ".join(line.words for line in told(lines(reasons), count)[0])


def share_words(share: float) -> str:
    return f"{_no_minus_zero(share, 2):+.2f}"


def _line(group: str, members: Sequence[Reason]) -> Line:
    names = tuple(name for name, _, _ in members)
    share = math.fsum(share for _, _, share in members)
    if group == _REGIME:
        return Line("regime", _regime_value({name: value for name, value, _ in members}), share, names)
    # The plain form is what a trader reads on a chart; the turned one speaks only where it stands alone.
    name, value, _ = next((m for m in members if m[0] == group), members[0])
    word = _word(name)
    return Line(word.name, NOT_KNOWN if value is None else word.written(value), share, names)


def _regime_value(values: Mapping[str, float | None]) -> str:
    if named := [name for name, value in values.items() if value]:
        return _REGIMES[named[0]].value
    others = [regime.value for name, regime in _REGIMES.items() if name not in values]
    if None in values.values() or len(others) != 1:
        return NOT_KNOWN if None in values.values() else "another"
    return others[0]  # none of the others, so the one that this model has no number for


def _word(name: str) -> _Word:
    return WORDS.get(name) or _Word(name.removeprefix("entry_").replace("_", " "), lambda value: f"{value:.4g}")


def _no_minus_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
