"""What each layer between a signal and a trade is worth: the same closed signals with it and without. Pure.

The shadow ledger holds an outcome for every signal, taken or not, so nothing has to be guessed. Limits of the portfolio
are left aside: they say nothing of a signal. The strategy's own filters are audited on candles (``core.ml.audit``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from core.config import RuleMode, Settings
from core.domain.candles import BoolArray, FloatArray
from core.domain.trading import GeminiOpinion, ModelOpinion, Opinions, Ruling, Verdict
from core.engine.filters import combined_confidence, gemini_verdict
from core.engine.metrics import max_drawdown
from core.ml.differences import Difference, holm, weighted_difference
from core.ml.lived import FIRST_LOOK, Glance, Lived, Outcomes, answer_of, glance
from core.ml.unclear import could_not_tell

WHAT_IF_WEIGHT = 0.5
"""The model's weight in "what if", while no weight is approved."""

MIN_APART = 20
"""Signals that a layer must treat differently, and as many that it lets be, before anything is said of it."""

INTERVAL = 0.05
"""The error of each interval that is shown, by itself; verdicts spend the look's error together."""

Worded = Literal["helps", "costs", "cannot be told", "changes nothing", "never asked"]

_SIZE_OF_MODE: dict[RuleMode, float] = {"veto": 0.0, "half": 0.5, "record": 0.0}
_NO_CHANGE = 1e-12


@dataclass(frozen=True, slots=True)
class Figures:
    """Signals taken at sizes of 0..1: R as means per 1R risked, ``total`` and ``drawdown`` of the net R at these sizes.

    ``n`` counts those taken at any size. ``drawdown`` is the deepest fall of the R curve in the order of closing.
    """

    n: int
    win_rate: float | None
    gross: float | None
    net: float | None
    total: float
    drawdown: float


@dataclass(frozen=True, slots=True)
class LayerWorth:
    """A layer: ``asked`` closed signals, ``apart`` those of them it changes.

    ``unknown``: signals on which a rule could not tell, that no model spoke on, or that were never put before Gemini.
    Figures ``with_it`` and ``without`` it, and of what it ``refused`` or halved, at full size; None before a look.
    ``difference`` is the mean net R with less without, ``low`` and ``high`` its 95% interval and ``p`` its error.
    """

    name: str
    words: str
    asked: int
    unknown: int
    apart: int
    with_it: Figures | None = None
    without: Figures | None = None
    refused: Figures | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: Worded = "cannot be told"


@dataclass(frozen=True, slots=True)
class LayerReport:
    """All layers at the newest look. ``outcomes`` have closed so far, ``trades`` of them as trades.

    ``weight`` is the model's as counted here, ``what_if`` where nobody has approved it.
    """

    outcomes: int
    trades: int
    look: Glance | None
    layers: tuple[LayerWorth, ...]
    tested: int
    weight: float
    what_if: bool

    @property
    def conclusion(self) -> str:
        """One sentence."""
        if self.look is None:
            return f"{self.outcomes} of {FIRST_LOOK} closed signals: nothing can be said yet."
        said = [f"{layer.words} {layer.verdict}" for layer in self.layers if layer.verdict in ("helps", "costs")]
        asked = f"{self.tested} of {len(self.layers)} could be tested on {self.look.n} closed signals"
        if not said:
            return f"No layer's worth can be told from chance ({asked})."
        return f"Beyond chance: {', '.join(said)} ({asked})."

    def layer(self, name: str) -> LayerWorth:
        """Raises KeyError."""
        return {layer.name: layer for layer in self.layers}[name]

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"conclusion": self.conclusion}


@dataclass(frozen=True, eq=False)
class _Question:
    """A layer as sizes of the signals it was asked about: with it in force, and left out."""

    name: str
    words: str
    asked: tuple[Lived, ...]
    unknown: int
    with_it: FloatArray
    without: FloatArray

    @property
    def apart(self) -> BoolArray:
        return np.abs(self.with_it - self.without) > _NO_CHANGE

    @property
    def untested(self) -> Worded:
        """What is to be said before any test."""
        if not self.asked:
            return "never asked"
        return "cannot be told" if self.apart.any() else "changes nothing"


def layer_report(signals: Sequence[Lived], settings: Settings, approved: float, *, whole: bool = False) -> LayerReport:
    """Every layer on the closed ``signals`` (as ``lived`` gives them) up to the newest look.

    ``approved`` is the model's granted weight; at 0 the model is counted with ``WHAT_IF_WEIGHT``. ``whole`` takes all
    of them as the one and only look: right for a ledger that will not grow, such as a replay's. Settings are today's,
    for all signals alike.
    """
    look = Glance(1, len(signals), INTERVAL, len(signals)) if whole and signals else glance(len(signals))
    seen = signals if look is None else signals[: look.n]
    weight = approved or WHAT_IF_WEIGHT
    questions = (
        _rule("alignment", settings, seen),
        _rule("btc", settings, seen),
        _gemini(seen, settings),
        _model(seen, settings, weight, what_if=not approved),
        _everything(seen, settings, approved),
    )
    layers = tuple(_counts(q) if look is None else _worth(q) for q in questions)
    error = 0.0 if look is None else look.error
    fallen = holm([layer.p for layer in layers], error)
    return LayerReport(
        outcomes=len(signals),
        trades=sum(s.is_trade for s in signals),
        look=look,
        layers=tuple(_judged(layer, held) for layer, held in zip(layers, fallen, strict=True)),
        tested=sum(layer.p is not None for layer in layers),
        weight=weight,
        what_if=not approved,
    )


# -- each layer as a question --


def _rule(name: str, settings: Settings, signals: Sequence[Lived]) -> _Question:
    """A rule at the size it leaves today; one that only notes is asked about as if it refused."""
    mode: RuleMode = getattr(settings.rules, name)
    spoken = [(s, v) for s in signals if (v := s.verdict("rules", name)) is not None]
    does = {"veto": "refuses", "half": "halves", "record": "if it refused"}[mode]
    return _Question(
        name,
        f"{'BTC' if name == 'btc' else name} ({does})",
        tuple(s for s, _ in spoken),
        sum(could_not_tell(v) for _, v in spoken),
        np.array([_size(v, _SIZE_OF_MODE[mode], settings) for _, v in spoken], dtype=np.float64),
        np.ones(len(spoken)),
    )


def _size(verdict: Verdict, objected: float, settings: Settings) -> float:
    """What a rule leaves of a signal; one on which it cannot tell passes or not, as the settings say."""
    if could_not_tell(verdict):
        return float(settings.rules.unknown == "pass")
    return objected if _objects(verdict) else 1.0


def _objects(verdict: Verdict) -> bool:
    return verdict.ruling in (Ruling.HALF, Ruling.REFUSE, Ruling.RECORD)


def _gemini(signals: Sequence[Lived], settings: Settings) -> _Question:
    """Its approval and its confidence against the threshold, as with a weight of 0; no opinion as the settings say."""
    asked = tuple(s for s in signals if answer_of(s.decision) in ("opinion", "no opinion"))
    kept = [float(_passes(s, 0.0, settings)) for s in asked]
    return _Question("gemini", "Gemini", asked, 0, np.array(kept, dtype=np.float64), np.ones(len(asked)))


def _model(signals: Sequence[Lived], settings: Settings, weight: float, *, what_if: bool) -> _Question:
    """The combined confidence with the model's weight against the one without; Gemini stays in force in both."""
    asked = tuple(s for s in signals if _opinion_of_model(s) is not None)
    words = f"model ({'what if ' if what_if else ''}{weight:g})"
    kept, before = ([float(_passes(s, w, settings)) for s in asked] for w in (weight, 0.0))
    return _Question("model", words, asked, len(signals) - len(asked), np.array(kept), np.array(before))


def _everything(signals: Sequence[Lived], settings: Settings, approved: float) -> _Question:
    """All layers as they are in force today, against none. A pair that was switched off was not put before Gemini."""
    asked = tuple(s for s in signals if answer_of(s.decision) != "not asked")
    sizes = [_rules_size(s, settings) * _passes(s, approved, settings) for s in asked]
    return _Question(
        "everything",
        "all together",
        asked,
        len(signals) - len(asked),
        np.array(sizes, dtype=np.float64),
        np.ones(len(asked)),
    )


def _rules_size(signal: Lived, settings: Settings) -> float:
    size = 1.0
    for name, mode in (("alignment", settings.rules.alignment), ("btc", settings.rules.btc)):
        if (verdict := signal.verdict("rules", name)) is not None:
            size *= _size(verdict, 1.0 if mode == "record" else _SIZE_OF_MODE[mode], settings)
    return size


def _passes(signal: Lived, weight: float, settings: Settings) -> bool:
    """Whether Gemini, the model at this weight and the combined confidence let a signal through."""
    opinions = _opinions(signal)
    if gemini_verdict(opinions, settings.gemini).ruling is Ruling.REFUSE:
        return False
    confidence = combined_confidence(opinions, weight, settings.gemini, settings.ml)
    return confidence is None or confidence >= settings.ml.threshold


def _opinions(signal: Lived) -> Opinions:
    """What was stored at the decision, as the layers took it in."""
    decision, answer = signal.decision, answer_of(signal.decision)
    gemini = None
    if answer == "opinion" and decision.gemini_confidence is not None:
        gemini = GeminiOpinion(bool(decision.gemini_approve), decision.gemini_confidence, "", (), "")
    return Opinions(gemini=gemini, gemini_present=answer != "absent", model=_opinion_of_model(signal))


def _opinion_of_model(signal: Lived) -> ModelOpinion | None:
    d = signal.decision
    if d.model_id is None or d.ml_probability is None or d.ml_rank is None:
        return None
    if not (0 <= d.ml_probability <= 1 and 0 <= d.ml_rank <= 1):
        return None
    return ModelOpinion(d.model_id, d.ml_probability, d.ml_average or 0.0, d.ml_rank)


# -- measured --


def figures(outcomes: Outcomes, sizes: FloatArray) -> Figures:
    """These outcomes taken at these sizes (0 = not taken)."""
    taken = sizes > 0
    curve = np.cumsum([0.0, *(sizes * outcomes.net)])
    total = float(sizes.sum())
    if not total:
        return Figures(0, None, None, None, 0.0, 0.0)
    share = sizes / total
    return Figures(
        n=int(taken.sum()),
        win_rate=float((share * (outcomes.gross > 0)).sum()),
        gross=float((share * outcomes.gross).sum()),
        net=float((share * outcomes.net).sum()),
        total=float(curve[-1]),
        drawdown=max_drawdown(curve),
    )


def _counts(question: _Question) -> LayerWorth:
    return LayerWorth(
        name=question.name,
        words=question.words,
        asked=len(question.asked),
        unknown=question.unknown,
        apart=int(question.apart.sum()),
        verdict=question.untested,
    )


def _worth(question: _Question) -> LayerWorth:
    outcomes = Outcomes.of(question.asked)
    found = _difference(question, outcomes)
    low, high = (found and found.interval(INTERVAL)) or (None, None)
    less = np.maximum(question.without - question.with_it, 0.0) > _NO_CHANGE
    return replace(
        _counts(question),
        with_it=figures(outcomes, question.with_it),
        without=figures(outcomes, question.without),
        refused=figures(outcomes, less.astype(np.float64)),
        difference=None if found is None else found.value,
        low=low,
        high=high,
        p=found.p if found is not None and _enough(question) else None,
    )


def _difference(question: _Question, outcomes: Outcomes) -> Difference | None:
    if not question.apart.any():
        return None
    return weighted_difference(outcomes.net, question.with_it, question.without, outcomes.clusters)


def _enough(question: _Question) -> bool:
    """A handful of refusals that all lost is luck with hardly any spread: no interval would hold."""
    alike = (~question.apart) & (question.with_it > 0)
    return int(question.apart.sum()) >= MIN_APART and int(alike.sum()) >= MIN_APART


def _judged(layer: LayerWorth, held: bool) -> LayerWorth:
    if not held or not layer.difference:
        return layer
    return replace(layer, verdict="helps" if layer.difference > 0 else "costs")
