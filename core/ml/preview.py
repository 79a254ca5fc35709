"""What a weight would have done to past signals."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import Settings
from core.domain.ledger import DecisionRecord
from core.domain.trading import GeminiOpinion, ModelOpinion, Opinions
from core.engine.filters import combined_confidence
from core.ml.prediction import percentile_of

PREVIEW_SIGNALS = 30


@dataclass(frozen=True, slots=True)
class Preview:
    """What a weight would have done to the last signals: how many flip, how many are still taken."""

    signals: int
    taken_before: int
    taken_after: int
    flips: int

    @property
    def halves_trading(self) -> bool:
        return self.taken_after * 2 < self.taken_before

    @property
    def sentence(self) -> str:
        if not self.signals:
            return "no past signal has both opinions, so nothing can be previewed"
        return (
            f"with it, {self.flips} of the last {self.signals} signals flip: "
            f"{self.taken_after} instead of {self.taken_before} pass the confidence test"
        )


def preview(signals: list[DecisionRecord], weight: float, settings: Settings, recent: list[float]) -> Preview:
    """Runs the combined confidence of past signals with weight 0 and with ``weight``; pure."""
    before = after = flips = seen = 0
    for signal in signals:
        if signal.ml_probability is None or not recent:
            continue
        seen += 1
        passes = [_passes(signal, w, settings, recent) for w in (0.0, weight)]
        before, after = before + passes[0], after + passes[1]
        flips += passes[0] != passes[1]
    return Preview(seen, before, after, flips)


def _passes(signal: DecisionRecord, weight: float, settings: Settings, recent: list[float]) -> bool:
    assert signal.ml_probability is not None
    rank = percentile_of(signal.ml_probability, recent)
    gemini = (
        GeminiOpinion(bool(signal.gemini_approve), signal.gemini_confidence, "", (), "")
        if signal.gemini_confidence is not None
        else None
    )
    model = ModelOpinion(signal.model_id or "", signal.ml_probability, signal.ml_average or 0.0, rank)
    confidence = combined_confidence(Opinions(gemini=gemini, model=model), weight, settings.gemini, settings.ml)
    return (confidence is None or confidence >= settings.ml.threshold) and signal.gemini_approve is not False


def title(weight: float, shown: Preview) -> str:
    """The first line of an approval card."""
    asked = f"May the model count {weight:g} beside Gemini?"
    if shown.halves_trading:
        return f"{asked} It would take fewer than half of today's trades ({shown.taken_after} of {shown.taken_before})."
    return asked
