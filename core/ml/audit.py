"""What each filter is worth: kills, R with and without it, and how sure that is. Pure; chat and shell render it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, FloatArray, IntArray, iso
from core.engine.audit import FILTERS, LATE, AuditPart, in_force_of
from core.engine.indicators import REGIMES
from core.ml.differences import difference, holm, mean_interval
from core.ml.intervals import clusterings

ERROR = 0.05
"""Of every interval, and of all verdicts together."""

Verdict = Literal["helps", "costs", "cannot be told", "changes nothing"]
Change = Literal["left out", "added"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Trades in numbers: R is the mean per trade, the interval that of the net mean; None where nothing can be said."""

    n: int
    win_rate: float | None
    gross: float | None
    net: float | None
    net_low: float | None
    net_high: float | None


@dataclass(frozen=True, slots=True)
class Worth:
    """A filter in one period. ``kept``: the signals with it in force, ``free``: with it left out.

    ``killed`` candidates fail it, ``killed_alone`` pass all others of the strategy; ``alone`` is what these made.
    ``difference`` is the mean net R of ``kept`` less that of ``free``, ``low`` and ``high`` its two-sided 95% interval
    and ``p`` its error.
    """

    killed: int
    killed_alone: int
    killed_alone_net: float | None
    kept: Figures
    free: Figures
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    alone: Figures


@dataclass(frozen=True, slots=True)
class FilterAudit:
    """One filter. ``in_force``: the strategy refuses by it; otherwise it is asked about as if it did."""

    name: str
    words: str
    in_force: bool
    whole: Worth
    earlier: Worth
    later: Worth
    holm: bool
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RegimeAudit:
    """The candidates in one regime, whatever the other filters say of them."""

    regime: str
    whole: Figures
    earlier: Figures
    later: Figures


@dataclass(frozen=True, slots=True)
class Audit:
    """All filters of a range ``[start_ms, end_ms)`` that is split at ``middle_ms`` by the close of the candidate."""

    start_ms: int
    middle_ms: int
    end_ms: int
    pairs: tuple[str, ...]
    candidates: int
    signals: int
    filters: tuple[FilterAudit, ...]
    regimes: tuple[RegimeAudit, ...]
    tested: int

    @property
    def conclusion(self) -> str:
        """One sentence: the best supported change, or that none is."""
        asked = f"{len(self.filters)} filters looked at, {self.tested} could be tested"
        changes = [f for f in self.filters if f.verdict == ("costs" if f.in_force else "helps")]
        if changes:
            best = min(changes, key=lambda f: f.whole.p or 0.0)
            worth = best.whole
            sign = -1 if best.in_force else 1
            gain = sign * (worth.difference or 0.0)
            low, high = sorted((sign * (worth.low or 0.0), sign * (worth.high or 0.0)))
            verb = "leave out" if best.in_force else "take up"
            now, then = (worth.kept, worth.free) if best.in_force else (worth.free, worth.kept)
            return (
                f'Best supported change: {verb} "{best.words}" ({gain:+.2f}R net a signal, 95% {low:+.2f} to '
                f"{high:+.2f}, still so after Holm's correction; {asked}). {_in_all(now)} would have been "
                f"{_in_all(then)}."
            )
        helping = [f.words for f in self.filters if f.in_force and f.verdict == "helps"]
        if helping:
            return f"Best supported change: none; worth keeping: {', '.join(helping)} ({asked})."
        return f"Best supported change: none. No filter's worth can be told from chance ({asked})."

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        values = asdict(self)
        times = {"from": "start_ms", "middle": "middle_ms", "to": "end_ms"}
        return {
            **{name: iso(values.pop(key)) for name, key in times.items()},
            **values,
            "conclusion": self.conclusion,
        }


def _in_all(figures: Figures) -> str:
    return f"{figures.n * (figures.net or 0.0):+.0f}R net from {figures.n} signals"


@dataclass(frozen=True, eq=False)
class _Rows:
    """All pairs' samples as one table."""

    decided: IntArray
    end: IntArray
    gross: FloatArray
    net: FloatArray
    regime: IntArray

    def figures(self, chosen: BoolArray) -> Figures:
        n = int(chosen.sum())
        if not n:
            return Figures(0, None, None, None, None, None)
        gross, net = self.gross[chosen], self.net[chosen]
        bounds = mean_interval(net, clusterings(self.decided[chosen], self.end[chosen]), ERROR)
        low, high = bounds or (None, None)
        return Figures(n, float((gross > 0).mean()), float(gross.mean()), float(net.mean()), low, high)

    def worth(self, kills: BoolArray, alone: BoolArray, kept: BoolArray, free: BoolArray) -> Worth:
        either: BoolArray = kept | free
        clusters = clusterings(self.decided[either], self.end[either])
        found = difference(self.net[either], kept[either], free[either], clusters)
        low, high = (found and found.interval(ERROR)) or (None, None)
        return Worth(
            killed=int(kills.sum()),
            killed_alone=int(alone.sum()),
            killed_alone_net=float(self.net[alone].mean()) if alone.any() else None,
            kept=self.figures(kept),
            free=self.figures(free),
            difference=None if found is None else found.value,
            low=low,
            high=high,
            p=None if found is None else found.p,
            alone=self.figures(alone),
        )


@dataclass(frozen=True, eq=False)
class _Question:
    """A filter, or a variant, as masks over the samples: what it kills, and the signals with it and without."""

    name: str
    words: str
    in_force: bool
    kills: BoolArray
    alone: BoolArray
    kept: BoolArray
    free: BoolArray


def audit(parts: Sequence[AuditPart], settings: Settings, start_ms: int, end_ms: int) -> Audit:
    """Every filter and every configured variant on these pairs' candidates. Raises ValueError without a sample.

    The cooldown runs through the whole range, whatever the period; a filter that is left out or added lets the
    cooldown run anew. A verdict other than "cannot be told" needs an error below 5% after Holm's correction over all
    that could be tested on the whole range, and the same sign in both periods.
    """
    samples = [part.sample for part in parts]
    if not any(s.any() for s in samples):
        raise ValueError("there is no candidate with an outcome")
    rows = _Rows(
        *(
            np.concatenate([getattr(part, name)[s] for part, s in zip(parts, samples, strict=True)])
            for name in ("decided", "end", "gross", "net", "regime")
        )
    )
    middle = (start_ms + end_ms) // 2
    early: BoolArray = rows.decided <= middle
    everything: BoolArray = np.ones(len(early), dtype=np.bool_)
    periods = (everything, early, ~early)
    questions = [*(_filter(name, parts, settings) for name in FILTERS), *_variants(parts, settings)]
    worths = [
        [rows.worth(q.kills & when, q.alone & when, q.kept & when, q.free & when) for when in periods]
        for q in questions
    ]
    fallen = holm([whole.p for whole, _, _ in worths], ERROR)
    own = _all(parts, [part.signals() for part in parts])
    return Audit(
        start_ms=start_ms,
        middle_ms=middle,
        end_ms=end_ms,
        pairs=tuple(str(part.pair) for part in parts),
        candidates=len(everything),
        signals=int(own.sum()),
        filters=tuple(
            FilterAudit(q.name, q.words, q.in_force, w[0], w[1], w[2], holm=held, verdict=_verdict(q, w, held))
            for q, w, held in zip(questions, worths, fallen, strict=True)
        ),
        regimes=tuple(
            RegimeAudit(regime.value, *(rows.figures((rows.regime == code) & p) for p in periods))
            for code, regime in enumerate(REGIMES)
        ),
        tested=sum(whole.p is not None for whole, _, _ in worths),
    )


def _verdict(question: _Question, worths: Sequence[Worth], held: bool) -> Verdict:
    if np.array_equal(question.kept, question.free):
        return "changes nothing"
    whole, earlier, later = (worth.difference for worth in worths)
    if not held or whole is None or earlier is None or later is None:
        return "cannot be told"
    if np.sign(earlier) != np.sign(whole) or np.sign(later) != np.sign(whole):
        return "cannot be told"
    return "helps" if whole > 0 else "costs"


def _all(parts: Sequence[AuditPart], masks: Sequence[BoolArray]) -> BoolArray:
    return np.concatenate([mask[part.sample] for part, mask in zip(parts, masks, strict=True)])


def _filter(name: str, parts: Sequence[AuditPart], settings: Settings) -> _Question:
    own = in_force_of(settings.strategy)
    in_force = name in own
    with_it = own if in_force else (*own, name)
    without = tuple(other for other in own if other != name)
    return _Question(
        name=name,
        words=_words(name, settings),
        in_force=in_force or (name in LATE and getattr(settings.rules, name) == "veto"),
        kills=_all(parts, [p.killed(name) for p in parts]),
        alone=_all(parts, [p.killed_alone(name) for p in parts]),
        kept=_all(parts, [p.signals(with_it) for p in parts]),
        free=_all(parts, [p.signals(without) for p in parts]),
    )


def _variants(parts: Sequence[AuditPart], settings: Settings) -> list[_Question]:
    """Against the strategy's own signals; what a variant alone kills are the strategy's signals that it refuses."""
    own = _all(parts, [p.signals() for p in parts])
    found = []
    for name, variant in settings.variants.items():
        kept = _all(parts, [p.variant_signals(variant) for p in parts])
        found.append(_Question(f"variant {name}", f"'{name}'", False, ~kept, own & ~kept, kept, own))
    return found


def _words(name: str, settings: Settings) -> str:
    rules = settings.strategy
    return {
        "adx": f"ADX from {rules.adx_min:g}",
        "rsi": f"RSI {rules.rsi_short_min:g} to {rules.rsi_long_max:g}",
        "volume": f"volume from {rules.volume_ratio_min:g}",
        "cooldown": f"cooldown {rules.cooldown_bars}",
        "alignment": "alignment veto",
        "btc": "BTC veto",
    }.get(name, f"no {name}")
