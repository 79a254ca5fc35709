"""What is asked about a candidate before it is decided: the model, Gemini, and the rules' view of the market."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from core.config import Rules, Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.domain.messages import Notice
from core.domain.trading import Candidate, GeminiOpinion, ModelOpinion
from core.engine import filters
from core.ml.features import features_of
from core.ml.prediction import average, percentile_of
from core.ml.surroundings import scene_of
from core.ports import Advisor, Ledger, Predictor
from core.services.bus import Bell
from core.services.memory import Memory

GEMINI_SOON = 2.5
"""Seconds of wall time after which the phone hears of a signal that still waits for Gemini."""

MODEL_PATIENCE = 10.0
"""Seconds of wall time for a prediction; the first one loads the learning libraries."""


class LowerCandles:
    """Where candles below the trading timeframe come from; this one has none, as in a replay."""

    async def lower(self, pair: Pair, timeframe: str, now_ms: int) -> Candles | None:
        return None


class Asking:
    """Everybody who has a say, each asked in its own way. None of them ever raises or waits without an end."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        bell: Bell,
        *,
        advisor: Advisor | None,
        predictor: Predictor | None,
        lower: LowerCandles,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._bell = bell
        self._advisor = advisor
        self._predictor = predictor
        self._lower = lower

    @property
    def has_advisor(self) -> bool:
        return self._advisor is not None

    def features(self, memory: Memory, found: Sequence[Candidate]) -> dict[Pair, dict[str, float]]:
        """All that a model can see of the candidates of one close."""
        if not found:
            return {}
        windows = [h.candles.between(None, found[0].close_time) for h in memory.histories.values()]
        scene = scene_of(windows, self._settings.traded, self._settings)
        own = memory.windows
        return {c.pair: features_of(c.snapshot, own[c.pair], c.direction, scene) for c in found}

    async def model(
        self, memory: Memory, candidate: Candidate, features: Mapping[str, float], stale: bool
    ) -> ModelOpinion | str:
        """Asked for every candidate in time: a prediction is evidence only when it is older than its outcome."""
        if self._predictor is None:
            return "no model"
        if stale:
            return "found too late to predict"
        try:
            async with asyncio.timeout(MODEL_PATIENCE):
                prediction = await self._predictor.predict(features, candidate.direction, candidate.close_time)
        except TimeoutError:
            return f"no answer within {MODEL_PATIENCE:g} s"
        if isinstance(prediction, str):
            return prediction
        recent = memory.recent if prediction.model_id == memory.recent_model else []
        mean = average(recent)
        return ModelOpinion(
            model_id=prediction.model_id,
            probability=prediction.probability,
            average=prediction.probability if mean is None else mean,
            percentile=percentile_of(prediction.probability, recent),
            reasons=tuple(prediction.contributions),
            size_rank=prediction.size_rank,
            neighbours=prediction.neighbours,
        )

    async def gemini(self, memory: Memory, candidate: Candidate, wanted: bool) -> GeminiOpinion | str:
        if self._advisor is None or not wanted:
            return "not asked"
        asking = asyncio.ensure_future(self._advisor.opinion(candidate, memory.windows[candidate.pair]))
        try:
            done, _ = await asyncio.wait({asking}, timeout=GEMINI_SOON)
            if not done:
                await self._say_waiting(candidate)
            return await asking
        finally:
            asking.cancel()

    async def _say_waiting(self, candidate: Candidate) -> None:
        """The phone hears of the signal in time, also where the decision has to wait for Gemini."""
        event = Notice(
            key=f"waiting:{candidate.pair}:{candidate.open_time}",
            time=to_datetime(candidate.close_time),
            topic="gemini",
            title=f"{candidate.pair.base} {candidate.direction} {candidate.levels.entry:g}: waiting for Gemini",
            detail="A signal is found; whether it is taken follows.",
        )
        await self._ledger.publish([event])
        self._bell.ring()

    async def facts(
        self, memory: Memory, rules: Rules, candidate: Candidate, wanted: bool, together: Sequence[Pair]
    ) -> filters.Facts:
        """Trends and correlations; lower timeframes are fetched only for a signal that may be taken."""
        lower: dict[str, Candles] = {}
        below = [n for n in rules.alignment_timeframes if Timeframe.parse(n).minutes < candidate.timeframe.minutes]
        for name in below if wanted else ():
            found = await self._lower.lower(candidate.pair, name, candidate.close_time)
            if found is not None:
                lower[name] = found
        near = dict.fromkeys([*(p.pair for p in memory.book.account.positions), *together])
        others = {pair: c for pair in near if (c := self._recent(memory, pair, candidate)) is not None}
        window, btc = (
            self._recent(memory, candidate.pair, candidate),
            self._recent(memory, self._settings.btc, candidate),
        )
        assert window is not None
        return filters.gather_facts(window, btc, lower, others, rules, self._settings.candles.max_gap)

    def _recent(self, memory: Memory, pair: Pair, candidate: Candidate) -> Candles | None:
        """A pair's last ``history`` candles by the candidate's close, None where there are none.

        A history holds more, but how much more depends on the anchor, and no fact may.
        """
        history = memory.histories.get(pair)
        if history is None:
            return None
        return history.candles.between(None, candidate.close_time).tail(self._settings.candles.history)
