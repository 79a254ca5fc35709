"""The layers between a signal and a decision: rules, Gemini, model, combined confidence: docs/strategy.md.

Each filter is a function from values to one ``Verdict``; gathering the values is the shell's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.config import Gemini, Ml, Rules
from core.domain.candles import Candles, FloatArray, Pair, Timeframe
from core.domain.trading import Direction, Opinions, Ruling, Verdict

_RULING_OF_MODE = {"veto": Ruling.REFUSE, "half": Ruling.HALF, "record": Ruling.RECORD}
TIE = 1e-10


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at, worked out from closed candles only. None = too few candles.

    ``trends``: sign of SMA 15 - SMA 40 per timeframe name; ``btc_trend`` the same for BTC on 1h;
    ``correlations``: 96-bar correlation of log returns with each pair that has an open position.
    """

    trends: Mapping[str, int | None] = field(default_factory=dict)
    btc_correlation: float | None = None
    btc_trend: int | None = None
    correlations: Mapping[Pair, float | None] = field(default_factory=dict)


def trend(closes: FloatArray) -> int | None:
    """Sign of SMA 15 - SMA 40 at the last close: -1, 0 or 1; None on fewer than 40 closes."""
    if len(closes) < 40:
        return None
    distance = float(np.mean(closes[-15:]) - np.mean(closes[-40:]))
    return 0 if abs(distance) < TIE * float(closes[-1]) else int(np.sign(distance))


def resample_closes(candles: Candles, timeframe: Timeframe) -> FloatArray:
    """Closes of the higher timeframe's candles that have closed by the last candle's close.

    A bucket counts when its last part is there: a bucket still running, or cut off at its end by a gap, is left out.
    """
    last_parts = (candles.time + candles.timeframe.ms) % timeframe.ms == 0
    closes: FloatArray = candles.close[last_parts]
    return closes


def correlation(a: Candles, b: Candles, bars: int, max_gap: int = 8) -> float | None:
    """Pearson correlation of log returns over the last ``bars`` returns both have; None where that is undefined.

    A few candles that one of them lacks are bridged; beyond a hole of more than ``max_gap`` nothing counts.
    """
    if np.array_equal(a.time[-bars - 1 :], b.time[-bars - 1 :]):  # as a rule: nothing to look for
        a, b = a.tail(bars + 1), b.tail(bars + 1)
        in_a = in_b = np.arange(len(a))
    else:
        _, in_a, in_b = np.intersect1d(a.time, b.time, assume_unique=True, return_indices=True)
        in_a, in_b = in_a[-bars - 1 :], in_b[-bars - 1 :]
    if len(in_a) < bars + 1:
        return None
    common = np.append(a.time[in_a], a.time[-1])  # the newest of a's: what both have may have ended long ago
    if np.any(np.diff(common) > (max_gap + 1) * a.timeframe.ms):
        return None
    returns_a, returns_b = np.diff(np.log(a.close[in_a])), np.diff(np.log(b.close[in_b]))
    if returns_a.std() == 0 or returns_b.std() == 0:
        return None
    return float(np.corrcoef(returns_a, returns_b)[0, 1])


def gather_facts(
    window: Candles,
    btc: Candles | None,
    lower: Mapping[str, Candles],
    open_windows: Mapping[Pair, Candles],
    rules: Rules,
    max_gap: int = 8,
) -> Facts:
    """The rules' view of the market at the window's last close; no window reaches beyond it, nor across a long gap.

    ``lower`` holds fetched candles of timeframes below the window's own; higher ones are resampled from it.
    """
    close_time = int(window.time[-1]) + window.timeframe.ms
    window = _unbroken(window, close_time, max_gap)
    btc = _unbroken(btc, close_time, max_gap) if btc is not None else None
    trends: dict[str, int | None] = {}
    for name in rules.alignment_timeframes:
        frame = Timeframe.parse(name)
        if frame.minutes >= window.timeframe.minutes:
            trends[name] = trend(resample_closes(window, frame))
        else:
            trends[name] = trend(_unbroken(lower[name], close_time, max_gap).close) if name in lower else None
    hour = Timeframe.parse("1h")
    return Facts(
        trends=trends,
        btc_correlation=correlation(window, btc, rules.correlation_bars, max_gap) if btc is not None else None,
        btc_trend=trend(resample_closes(btc, hour)) if btc is not None else None,
        correlations={
            pair: 1.0
            if pair == window.pair
            else correlation(window, _unbroken(other, close_time, max_gap), rules.correlation_bars, max_gap)
            for pair, other in open_windows.items()
        },
    )


def _unbroken(candles: Candles, close_time: int, max_gap: int) -> Candles:
    """What had closed by ``close_time`` since the last long gap; nothing where the newest candle is long past."""
    known = candles.between(None, close_time - candles.timeframe.ms + 1)
    stretches = known.stretches(max_gap)
    if not stretches or close_time - int(known.time[-1]) > (max_gap + 2) * candles.timeframe.ms:
        return known.rows(0, 0)
    return known.rows(*stretches[-1])


def alignment_of(direction: Direction, facts: Facts) -> float | None:
    """Share of the known timeframes that point the trade's way, 0..1; None when none is known."""
    known = [t for t in facts.trends.values() if t is not None]
    return sum(t == direction.sign for t in known) / len(known) if known else None


def alignment_verdict(direction: Direction, facts: Facts, rules: Rules) -> Verdict:
    if not facts.trends:
        return Verdict("rules", "alignment", Ruling.ABSENT, None, "no timeframe is set to agree")
    number = alignment_of(direction, facts)
    against = [name for name, t in facts.trends.items() if t is not None and t != direction.sign]
    unknown = [name for name, t in facts.trends.items() if t is None]
    if against:
        words = ", ".join(
            f"{n} {'up' if facts.trends[n] == 1 else 'down' if facts.trends[n] == -1 else 'flat'}" for n in against
        )
        return Verdict("rules", "alignment", _RULING_OF_MODE[rules.alignment], number, words)
    if unknown:
        return _unknown("alignment", number, f"too few {', '.join(unknown)} candles", rules)
    return Verdict("rules", "alignment", Ruling.PASS, number, f"{', '.join(facts.trends)} agree")


def btc_verdict(direction: Direction, facts: Facts, rules: Rules) -> Verdict:
    number = facts.btc_correlation
    if number is None or facts.btc_trend is None:
        return _unknown("btc", number, "too few BTC candles", rules)
    if number > rules.max_btc_correlation and facts.btc_trend == -direction.sign:
        way = "up" if facts.btc_trend > 0 else "down"
        return Verdict("rules", "btc", _RULING_OF_MODE[rules.btc], number, f"BTC 1h {way}, correlation {number:.2f}")
    return Verdict("rules", "btc", Ruling.PASS, number, f"BTC correlation {number:.2f}")


def _unknown(rule: str, number: float | None, sentence: str, rules: Rules) -> Verdict:
    ruling = Ruling.REFUSE if rules.unknown == "refuse" else Ruling.UNKNOWN
    return Verdict("rules", rule, ruling, number, sentence)


def gemini_verdict(opinions: Opinions, settings: Gemini) -> Verdict:
    """Approval passes, refusal refuses; no opinion does as ``on_no_opinion`` says; no key: the layer is absent."""
    if not opinions.gemini_present:
        return Verdict("gemini", "gemini", Ruling.ABSENT, None, "no Gemini key: the rules decide")
    opinion = opinions.gemini
    if opinion is None:
        ruling = Ruling.REFUSE if settings.on_no_opinion == "refuse" else Ruling.UNKNOWN
        return Verdict("gemini", "gemini", ruling, None, f"Gemini has no opinion: {opinions.gemini_note}")
    word = "approves" if opinion.approve else "refuses"
    ruling = Ruling.PASS if opinion.approve else Ruling.REFUSE
    # Its words are kept beside the verdict, not in it: a sentence has to fit a locked phone's one line.
    return Verdict("gemini", "gemini", ruling, opinion.confidence, f"Gemini {word} at {opinion.confidence:.2f}")


def model_verdict(opinions: Opinions, weight: float) -> Verdict:
    """The model never refuses by itself: it counts through the combined confidence, and only with a weight."""
    model = opinions.model
    if model is None:
        return Verdict("model", "model", Ruling.ABSENT, None, opinions.model_note or "no model yet")
    words = f"ML {model.probability:.0%}, avg {model.average * 100:.0f}: {model.confidence}, {model.recommendation}"
    return Verdict("model", "model", Ruling.RECORD, model.probability, f"{words}, weight {weight:g}")


def combined_confidence(opinions: Opinions, weight: float, gemini: Gemini, ml: Ml) -> float | None:
    """``gemini * (1 - w) + model * w``; None where nothing is tested (rules alone with w = 0).

    Without a model's opinion its weight is 0. ``gemini.neutral`` holds Gemini's place when the rules decide.
    """
    model = opinions.model
    weight = weight if model is not None else 0.0
    spoken = opinions.gemini.confidence if opinions.gemini is not None else None
    if spoken is None and weight == 0:
        return None
    base = gemini.neutral if spoken is None else spoken
    if model is None:
        return base
    entering = model.percentile if ml.scale == "percentile" else model.probability
    return base * (1 - weight) + entering * weight


def combined_verdict(confidence: float | None, ml: Ml) -> Verdict:
    if confidence is None:
        return Verdict("combined", "confidence", Ruling.ABSENT, None, "no confidence to test: the rules decide")
    ruling = Ruling.PASS if confidence >= ml.threshold else Ruling.REFUSE
    relation = "reaches" if ruling is Ruling.PASS else "is below"
    return Verdict(
        "combined", "confidence", ruling, confidence, f"confidence {confidence:.2f} {relation} {ml.threshold:.2f}"
    )


def effective_weight(approved: float, outcomes: int) -> float:
    """The approved weight under the ramp ``clip((n - 20) / 180, 0, 1)`` over ``outcomes`` live outcomes."""
    return min(approved, 1.0, max(0.0, (outcomes - 20) / 180))
