"""Samples as cards: what there is of each source, how fast live outcomes come, and when there are enough."""

from __future__ import annotations

from core.ml.forecast import Forecast
from core.services.stock import SamplesView, Stock
from core.services.views import MlView
from julaba_tg.card import Card, card, section, table
from julaba_tg.figures import coin, figure


def ml_lines(view: MlView) -> list[str]:
    """What ``/ml`` says of samples: counts by source, then the rate and the dates; nothing where nothing is known."""
    found = dict(view.samples)
    if not found:
        return []
    parts = [
        _count(found.get("trade", 0), "trade"),
        _count(found.get("shadow_signal", 0), "refused signal"),
        _count(found.get("shadow_candidate", 0), "candidate"),
        f"{found.get('backtest signals', 0)} from history",
    ]
    if found.get("augmented"):
        parts.append(f"{found['augmented']} augmented")
    return [f"Samples: {', '.join(parts)}", *(_dates(view.forecast) if view.forecast else [])]


def _dates(ahead: Forecast) -> list[str]:
    if ahead.per_day is None:
        return [_sentence(ahead.told)]
    rate = f"{figure(round(ahead.per_day, 2))} live outcomes a day"
    dates = f"50 live outcomes: {ahead.to_50.text} · 200: {ahead.to_200.text}"
    told = [_sentence(ahead.sentence)] if ahead.opens is not None else []
    return [f"{rate} · {_yes(ahead)}", dates, *told]


def _yes(ahead: Forecast) -> str:
    """The first look that could say yes. It may be a later one than the next: a look needs its share of trades too."""
    return f"first look that could say yes, at {ahead.gate.target} scored: {ahead.gate.text}"


def samples(view: SamplesView) -> Card:
    stock, ahead = view.stock, view.stock.forecast
    more = [f"+{n} pairs: {each.to_50.text}" for n, each in stock.more if each.to_50.on and each.to_50.left]
    return card(
        f"🧮 {_count(ahead.seen.outcomes, 'live outcome')} · 50: {ahead.to_50.text}",
        f"200: {ahead.to_200.text}",
        _capital(_yes(ahead)),
        _sentence(ahead.told),
        section([f"50 with more pairs · {' · '.join(more)}"] if more else []),
        table(_table(stock)),
        section([_sentence(ahead.sentence)]),
    )


def _table(stock: Stock) -> list[str]:
    """Per pair: live outcomes, shadow candidates, signals of the stored candles; as narrow as a phone."""
    rows = [f"{'':<7}{'trade':>6}{'refus':>6}{'cand':>7}{'hist':>6}"]
    everything = {**{coin(pair): counts for pair, counts in stock.pairs.items()}, "all": stock.counts}
    for name, counts in everything.items():
        live = f"{counts.get('trade', 0):>6}{counts.get('shadow_signal', 0):>6}{counts.get('shadow_candidate', 0):>7}"
        rows.append(f"{name:<7}{live}{counts.get('backtest signals', 0):>6}")
    return rows


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _sentence(words: str) -> str:
    return f"{_capital(words)}."


def _capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"
