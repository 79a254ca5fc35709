"""The words behind /whatif, to what they ask and back. Pure; what cannot be read raises UsageError with the usage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from core.domain.candles import Pair
from core.engine.what_if import NOTHING, Change, Skip
from core.services.what_if import MOST_SIGNALS, Question
from julaba_tg import parsing
from julaba_tg.commands import Command
from julaba_tg.figures import figure

_NUMBER = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,6})?")
_ID = re.compile(r"(#?)([0-9]{1,9})")
_SKIPPED: dict[str, Skip] = {"gemini": "gemini", "alignment": "alignment", "btc": "btc"}
_MODEL = ("ml", "model")


def question(words: Sequence[str], command: Command, about: str = "") -> Question:
    """``12 sl 2.5`` (a signal), ``#7 skip ml`` (a trade), ``adx 20 last 200``; ``about``: what was replied to."""
    lower = [word.lower() for word in ([about, *words] if about and not _starts_with_id(words) else words)]
    found = Question(NOTHING)
    if _starts_with_id(lower):
        number = _ID.fullmatch(lower[0])
        assert number is not None
        found = replace(found, number=int(number[2]), is_trade=bool(number[1]))
        lower = lower[1:]
    left = iter(lower)
    for word in left:
        if word == "last":
            found = replace(found, last=int(_value(left, word, 1, MOST_SIGNALS, command, whole=True)))
        else:
            found = replace(found, change=_changed(found.change, word, left, command))
    return found


def _starts_with_id(words: Sequence[str]) -> bool:
    return bool(words) and _ID.fullmatch(words[0]) is not None


def _changed(change: Change, word: str, left: Iterator[str], command: Command) -> Change:
    read = _READERS.get(word)
    if read is None:
        if word in ("tp", "tp1", "tp2", "tp3"):
            raise parsing.refusal("The targets stay at 1.5, 2.5 and 4 times the stop; sl moves them with it.", command)
        raise parsing.refusal(f"{parsing.short(word)!r} cannot be changed here.", command)
    return read(change, left, command)


def _stop(change: Change, left: Iterator[str], command: Command) -> Change:
    return replace(change, stop_atr=_value(left, "sl", 0.1, 20, command))


def _bars(change: Change, left: Iterator[str], command: Command) -> Change:
    return replace(change, max_bars=int(_value(left, "bars", 1, 1000, command, whole=True)))


def _breakeven(change: Change, left: Iterator[str], command: Command) -> Change:
    return replace(change, breakeven=parsing.switch(_next(left, "breakeven", command), command))


def _weight(change: Change, left: Iterator[str], command: Command) -> Change:
    return replace(change, weight=parsing.weight(_next(left, "weight", command), command))


def _skip(change: Change, left: Iterator[str], command: Command) -> Change:
    name = _next(left, "skip", command)
    if name in _MODEL:
        return replace(change, weight=0.0)
    if name not in _SKIPPED:
        raise parsing.refusal(f"{parsing.short(name)!r} is none of ml, gemini, alignment and btc.", command)
    return replace(change, skip=change.skip | {_SKIPPED[name]})


def _pair(change: Change, left: Iterator[str], command: Command) -> Change:
    pair = Pair.parse(parsing.pair(_next(left, "pair", command), command))
    on = parsing.switch(_next(left, "pair", command), command)
    return replace(change, pairs={**change.pairs, pair: on})


def _positions(change: Change, left: Iterator[str], command: Command) -> Change:
    return replace(change, max_positions=int(_value(left, "positions", 1, 50, command, whole=True)))


def _rule(name: str, word: str, low: float, high: float, *, whole: bool = False) -> Callable[..., Change]:
    def read(change: Change, left: Iterator[str], command: Command) -> Change:
        value = _value(left, word, low, high, command, whole=whole)
        return replace(change, strategy={**change.strategy, name: value})

    return read


def _rsi(change: Change, left: Iterator[str], command: Command) -> Change:
    """One number for both sides: a long up to it, a short down to as far below 50."""
    value = _value(left, "rsi", 50, 100, command)
    return replace(change, strategy={**change.strategy, "rsi_long_max": value, "rsi_short_min": 100 - value})


_READERS: dict[str, Callable[[Change, Iterator[str], Command], Change]] = {
    "sl": _stop,
    "stop": _stop,
    "bars": _bars,
    "breakeven": _breakeven,
    "weight": _weight,
    "skip": _skip,
    "pair": _pair,
    "positions": _positions,
    "adx": _rule("adx_min", "adx", 0, 100),
    "volume": _rule("volume_ratio_min", "volume", 0, 100),
    "cooldown": _rule("cooldown_bars", "cooldown", 0, 1000, whole=True),
    "rsi": _rsi,
}


def _next(left: Iterator[str], word: str, command: Command) -> str:
    found = next(left, None)
    if found is None:
        raise parsing.refusal(f"Something is missing behind {word}.", command)
    return found


def _value(left: Iterator[str], word: str, low: float, high: float, command: Command, *, whole: bool = False) -> float:
    said = _next(left, word, command)
    value = float(said.replace(",", ".")) if _NUMBER.fullmatch(said) else None
    if value is None or not low <= value <= high or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise parsing.refusal(
            f"{word!r} wants a {kind} from {figure(low)} to {figure(high)}, not {parsing.short(said)!r}.", command
        )
    return value


def line_of(asked: Question) -> str:
    """What to type to ask the same again."""
    change = asked.change
    words = ["whatif"]
    words += [f"{'#' if asked.is_trade else ''}{asked.number}"] if asked.number is not None else []
    words += [f"sl {change.stop_atr:g}"] if change.stop_atr is not None else []
    words += [f"bars {change.max_bars}"] if change.max_bars is not None else []
    words += [f"breakeven {_on(change.breakeven)}"] if change.breakeven is not None else []
    words += [f"weight {change.weight:g}"] if change.weight is not None else []
    words += [f"skip {name}" for name in sorted(change.skip)]
    words += [f"pair {pair.base} {_on(on)}" for pair, on in change.pairs.items()]
    words += [f"positions {change.max_positions}"] if change.max_positions is not None else []
    words += [f"{_TYPED[name]} {value:g}" for name, value in change.strategy.items() if name in _TYPED]
    words += [f"last {asked.last}"] if asked.number is None and asked.last != Question(NOTHING).last else []
    return " ".join(words)


_TYPED = {"adx_min": "adx", "volume_ratio_min": "volume", "cooldown_bars": "cooldown", "rsi_long_max": "rsi"}


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def in_words(change: Change) -> str:
    """``stop 2.5 ATR, without the model, SOL off``."""
    said = [f"stop {change.stop_atr:g} ATR"] if change.stop_atr is not None else []
    said += [f"at most {change.max_bars} candles"] if change.max_bars is not None else []
    said += [f"breakeven {_on(change.breakeven)}"] if change.breakeven is not None else []
    if change.weight is not None:
        said.append(f"the model at {change.weight:g}" if change.weight else "without the model")
    said += [f"without {_LAYERS[name]}" for name in sorted(change.skip)]
    said += [f"{pair.base} {_on(on)}" for pair, on in change.pairs.items()]
    said += [f"{change.max_positions} positions"] if change.max_positions is not None else []
    said += [f"{_RULES[name]} {value:g}" for name, value in change.strategy.items()]
    return ", ".join(said) or "nothing changed"


_LAYERS = {"gemini": "Gemini", "alignment": "the alignment rule", "btc": "the BTC rule"}
_RULES = {
    "adx_min": "ADX from",
    "volume_ratio_min": "volume from",
    "cooldown_bars": "cooldown",
    "rsi_long_max": "RSI of a long up to",
    "rsi_short_min": "of a short from",
}
