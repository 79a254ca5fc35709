"""The best supported change of a rule that an audit of the filters knows of, and that a person could approve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.config import Rules, Settings, Strategy, Variant
from core.domain.trading import Regime
from core.ml.audit import Audit, Figures, FilterAudit

_REGIMES = tuple(regime.value for regime in Regime if regime is not Regime.UNKNOWN)
_LEFT_OUT: dict[str, Mapping[str, object]] = {
    "adx": {"strategy.adx_min": 0.0},
    "rsi": {"strategy.rsi_long_max": 100.0, "strategy.rsi_short_min": 0.0},
    "volume": {"strategy.volume_ratio_min": 0.0},
    "cooldown": {"strategy.cooldown_bars": 0},
    "alignment": {"rules.alignment": "record"},
    "btc": {"rules.btc": "record"},
}
_TAKEN_UP: dict[str, Mapping[str, object]] = {
    "alignment": {"rules.alignment": "veto"},
    "btc": {"rules.btc": "veto"},
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A change of settings (``values`` by dotted name) with the net R a signal it is worth and its 95% interval.

    ``proven``: beyond chance after Holm's correction over all that was tested, with one sign in both halves of the
    range. ``now`` and ``then`` are the signals without the change and with it.
    """

    name: str
    words: str
    values: Mapping[str, object]
    gain: float
    low: float | None
    high: float | None
    proven: bool
    now: Figures
    then: Figures

    @property
    def worth_asking(self) -> bool:
        """Better a signal and no worse in all: of signals that lose, more that lose a little less lose more."""
        return self.gain > 0 and _total(self.then) >= _total(self.now)

    @property
    def sentence(self) -> str:
        """What it is worth a signal with its interval, and what all signals made without it and with it."""
        interval = f"95% {self.low:+.2f} to {self.high:+.2f}" if self.low is not None and self.high is not None else ""
        return (
            f"{self.words[0].upper()}{self.words[1:]}: {self.gain:+.2f}R net a signal "
            f"({interval or 'too few separate days for an interval'}), "
            f"{_in_all(self.now)} would have been {_in_all(self.then)}."
        )


def _total(figures: Figures) -> float:
    return figures.n * (figures.net or 0.0)


def _in_all(figures: Figures) -> str:
    return f"{_total(figures):+,.0f}R net from {figures.n:,} signals"


def suggestions(audit: Audit, settings: Settings) -> tuple[Suggestion, ...]:
    """All changes of the audit that the chat could make, the best supported first, better or worse for the trader.

    Proven ones come first, then by the lower bound of what they are worth. A filter that changes nothing is left out.
    """
    found = [s for each in audit.filters if (s := _suggestion(each, settings)) is not None]
    return tuple(sorted(found, key=lambda s: (not s.proven, -(s.low if s.low is not None else -9e9), -s.gain, s.name)))


def best(audit: Audit, settings: Settings) -> Suggestion | None:
    """The best supported change that is worth asking for; None where nothing would even have looked better."""
    return next((s for s in suggestions(audit, settings) if s.worth_asking), None)


def _suggestion(each: FilterAudit, settings: Settings) -> Suggestion | None:
    values, words = _change(each, settings)
    worth = each.whole
    if values is None or worth.difference is None or each.verdict == "changes nothing":
        return None
    sign = -1.0 if each.in_force else 1.0
    low, high = (None, None)
    if worth.low is not None and worth.high is not None:
        low, high = sorted((sign * worth.low, sign * worth.high))
    return Suggestion(
        name=each.name,
        words=words,
        values=values,
        gain=sign * worth.difference,
        low=low,
        high=high,
        proven=each.verdict == ("costs" if each.in_force else "helps"),
        now=worth.kept if each.in_force else worth.free,
        then=worth.free if each.in_force else worth.kept,
    )


def _change(each: FilterAudit, settings: Settings) -> tuple[Mapping[str, object] | None, str]:
    """The settings that would make the change, None where no setting does."""
    variant = settings.variants.get(each.name.removeprefix("variant ")) if each.name.startswith("variant ") else None
    if variant is not None:
        return _of_variant(variant, settings.strategy), f"take the filters of {each.words}"
    if each.name in _REGIMES:
        refused = set(settings.strategy.refused_regimes) ^ {each.name}
        words = f"{'take' if each.in_force else 'refuse'} signals in {each.name.replace('_', ' ')} markets"
        return {"strategy.refused_regimes": "+".join(sorted(refused)) or "none"}, words
    if each.in_force:
        return _LEFT_OUT.get(each.name), f'leave out "{each.words}"'
    return _TAKEN_UP.get(each.name), f'take up "{each.words}"'


def _of_variant(variant: Variant, own: Strategy) -> Mapping[str, object]:
    theirs = variant.strategy(own)
    differs = {n: v for n in Strategy.model_fields if (v := getattr(theirs, n)) != getattr(own, n)}
    return {f"strategy.{n}": "+".join(v) or "none" if isinstance(v, tuple) else v for n, v in differs.items()}


def stands_beside(settings: Rules) -> str:
    """What the audit compares a veto with, where the rules halve the size instead."""
    halved = [name for name in ("alignment", "btc") if getattr(settings, name) == "half"]
    return f"{' and '.join(halved)} now halve the size, which no mean of R a signal shows" if halved else ""
