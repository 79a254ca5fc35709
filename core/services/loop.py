"""The trading loop: at each close, exits first, then signals, opinions and entries. Live and replay run these lines.

What is known lives in ``Book`` and in the windows; what has happened is committed before it is assigned, so that a
crash at any point leaves a store from which ``start`` goes on. Handling the same candle twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candle, Candles, Pair, Timeframe, to_datetime, to_ms
from core.domain.ledger import Controls, Effect, Step, Switch
from core.domain.messages import Notice
from core.domain.trading import Candidate, GeminiOpinion, ModelOpinion, Opinions, Verdict
from core.engine import filters, step
from core.engine.history import History, Windows
from core.engine.step import Book, Close, Proposal
from core.engine.tracker import Tracker
from core.engine.trader import Stance
from core.engine.variants import variant_label, variant_verdicts
from core.ml.features import features_of
from core.ml.prediction import RECENT, average, percentile_of
from core.ml.surroundings import scene_of
from core.ports import Advisor, Clock, Ledger, Predictor
from core.services.bus import Bell
from core.services.changes import check_history, in_force

log = logging.getLogger(__name__)

GEMINI_SOON = 2.5
"""Seconds of wall time after which the phone hears of a signal that still waits for Gemini."""

MODEL_PATIENCE = 10.0
"""Seconds of wall time for a prediction; the first one loads the learning libraries."""


class LowerCandles:
    """Where candles below the trading timeframe come from; this one has none, as in a replay."""

    async def lower(self, pair: Pair, timeframe: str, now_ms: int) -> Candles | None:
        return None


@dataclass(slots=True)
class Memory:
    """What the loop keeps between candles. Replaced field by field, only after the store has it."""

    book: Book
    controls: Controls
    switches: dict[Pair, Switch]
    cursors: dict[Step, dict[Pair, int]]
    outcomes: int
    recent: list[float]  # probabilities of ``recent_model``, oldest first
    recent_model: str | None
    histories: dict[Pair, History]
    early: dict[Pair, int]  # each pair's newest signal that was seen but not trusted, by its candle's open time

    @property
    def windows(self) -> Mapping[Pair, Candles]:
        """Each pair's candles, up to the newest."""
        return Windows(self.histories)


class TradingLoop:
    """``start`` once, then ``handle`` every batch of closed candles. All pairs' candles of one time are one step.

    Raises SettingsError where the strategy wants more candles than ``candles.history``.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        *,
        advisor: Advisor | None = None,
        predictor: Predictor | None = None,
        lower: LowerCandles | None = None,
        bell: Bell | None = None,
        layers: bool = True,
    ) -> None:
        check_history(settings)
        self._settings = settings
        self.in_force = settings  # with what an approver has changed; taken up at the next candle
        self._clock = clock
        self._ledger = ledger
        self._advisor = advisor
        self._predictor = predictor
        self._lower = lower or LowerCandles()
        self._bell = bell or Bell()
        self._layers = layers
        self._order = {pair: n for n, pair in enumerate(settings.traded)}
        self.memory: Memory
        self.last_close: int | None = None
        # Held by whoever changes the memory, from reading it until the store has the change: steps and people alike.
        # Never while an opinion is awaited, and never to look.
        self.changing = asyncio.Lock()

    async def start(self) -> None:
        """Rebuilds the memory from the store; a new store starts with ``paper.start_balance``."""
        state = await self._ledger.load()
        self.in_force = in_force(self._settings, state.controls.changes).settings
        balance = self._settings.paper.start_balance
        book = Book(
            account=state.account or Account(cash=balance, day_start_equity=balance, peak_equity=balance),
            follows={f.follow_id: f for f in state.follows},
            last_signals=dict(state.last_signals),
            next_decision_id=state.next_decision_id,
            next_follow_id=state.next_follow_id,
            variant_signals=self._own_signals(state.variant_signals),
        )
        self.memory = Memory(
            book=book,
            controls=state.controls,
            switches=dict(state.switches),
            cursors={name: dict(times) for name, times in state.cursors.items()},
            outcomes=state.outcomes,
            recent=list(state.recent_probabilities),
            recent_model=state.recent_model,
            histories={},
            early={},
        )

    def _own_signals(self, signals: Mapping[tuple[str, str, Pair], int]) -> dict[tuple[str, Pair], int]:
        """Those of today's variants: one that was changed under its old name has had no signal yet."""
        labels = {name: variant_label(name, self.in_force) for name in self._settings.variants}
        return {(name, pair): time for (name, label, pair), time in signals.items() if labels.get(name) == label}

    @property
    def account(self) -> Account:
        return self.memory.book.account

    def enabled(self, pair: Pair) -> bool:
        """As last switched from the chat, else as configured."""
        switch = self.memory.switches.get(pair)
        if switch is not None:
            return switch.enabled
        return next((p.enabled for p in self._settings.pairs if Pair.parse(p.symbol) == pair), False)

    def handled(self, pair: Pair) -> int | None:
        """Open time of the newest candle of which the pair's steps are done; None for one that is of no concern.

        A pair taken out of the settings has exits alone.
        """
        if not self._concerns(pair):
            return None
        steps: tuple[Step, ...] = ("exits", "entries") if pair in self._order else ("exits",)
        times = [self.memory.cursors[name].get(pair) for name in steps]
        return min(t for t in times if t is not None) if None not in times else None

    def warm(self, window: Candles) -> None:
        """Sets a pair's history without acting on it: what was known before the first candle to handle."""
        self.memory.histories[window.pair] = self._history(window)
        if window.pair in self._order:
            self._recall(window.pair)

    def _history(self, candles: Candles) -> History:
        return History(candles, self._settings.candles.history, self._settings.candles.max_gap)

    async def handle(self, batch: Mapping[Pair, Candles]) -> None:
        """New closed candles per pair (BTC's among them), oldest first, time by time through both steps."""
        times = sorted({int(t) for candles in batch.values() for t in candles.time})
        rows = {pair: {int(t): n for n, t in enumerate(candles.time)} for pair, candles in batch.items()}
        for time in times:
            now = {pair: batch[pair].candle(rows[pair][time]) for pair in batch if time in rows[pair]}
            await self._step(time, now)

    def _take_up_changes(self) -> None:
        """What an approver has changed counts from this candle on; a variant of other rules has had no signal yet."""
        before = self.in_force
        self.in_force = in_force(self._settings, self.memory.controls.changes).settings
        if self.in_force is not before and self.in_force.strategy != before.strategy:
            self.memory.book = replace(self.memory.book, variant_signals={})

    async def _step(self, time: int, candles: Mapping[Pair, Candle]) -> None:
        self._take_up_changes()
        closes = {
            pair: self._close(pair, candles[pair])
            for pair in sorted(candles, key=lambda p: (self._order.get(p, len(self._order)), p))
            if self._concerns(pair) and self._is_new("exits", pair, time)
        }
        for pair, candle in candles.items():
            self._append(pair, candle)
        if closes:
            async with self.changing:
                book, effect = step.run_exits(self.memory.book, time, closes, self.in_force)
                if time + self._settings.frame.ms < (self.last_close or 0):
                    effect = replace(effect, equity_time=None)  # a late pair: that close has its equity already
                await self._commit(effect, book)
        pairs = [p for p in candles if p in self._order and self._is_new("entries", p, time)]
        if pairs:
            await self._enter(time, sorted(pairs, key=lambda p: self._order[p]))
        self.last_close = max(self.last_close or 0, time + self._settings.frame.ms)

    def _concerns(self, pair: Pair) -> bool:
        """A pair that is traded, or one taken out of the settings while something of it is still open."""
        return pair in self._order or any(f.pair == pair for f in self.memory.book.follows.values())

    def followed(self) -> tuple[Pair, ...]:
        """Pairs with something open, sorted."""
        return tuple(sorted({f.pair for f in self.memory.book.follows.values()}))

    def _is_new(self, name: Step, pair: Pair, time: int) -> bool:
        return self.memory.cursors[name].get(pair, -1) < time

    def _close(self, pair: Pair, candle: Candle) -> Close:
        before = self.memory.histories.get(pair)
        if before is None:
            return Close(candle, None)
        return Close(candle, before.last_close)

    def _append(self, pair: Pair, candle: Candle) -> None:
        history = self.memory.histories.get(pair)
        if history is None:
            history = self.memory.histories[pair] = self._history(Candles.empty(pair, self._settings.frame))
        if history.last_time is None or history.last_time < candle.open_time:
            history.append(candle)

    async def _enter(self, time: int, pairs: Sequence[Pair]) -> None:
        found = [c for c in (self._propose(pair, time) for pair in pairs) if c is not None]
        together = [c.pair for c in found if c.is_signal]
        choices = {c.pair: self._variants(c) for c in found}
        features = self._features(found)
        gathered = await asyncio.gather(*(self._gather(c, together, features.get(c.pair, {})) for c in found))
        async with self.changing:
            # Decided when the opinions are in: a pause or a switch pressed meanwhile counts, and so does the time.
            proposals = [
                replace(
                    p,
                    stance=self._stance(p.candidate.pair, p.opinions.model),
                    stale=self._is_stale(p.candidate),
                    variants=choices[p.candidate.pair],
                )
                for p in gathered
            ]
            book, effect = step.run_entries(
                self.memory.book, time, pairs, proposals, to_ms(self._clock.now()), self.in_force
            )
            await self._commit(effect, book)
        for proposal in proposals:
            if proposal.opinions.model is not None:
                self._remember(proposal.opinions.model)

    def _variants(self, candidate: Candidate) -> tuple[Verdict, ...]:
        """What each variant of the filters says of a candidate."""
        if not self._settings.variants:
            return ()
        time = self.memory.windows[candidate.pair].time
        return variant_verdicts(candidate, time, self.memory.book.variant_signals, self.in_force)

    def _remember(self, model: ModelOpinion) -> None:
        """A new champion is ranked among its own predictions only."""
        before = self.memory.recent if model.model_id == self.memory.recent_model else []
        self.memory.recent = [*before, model.probability][-RECENT:]
        self.memory.recent_model = model.model_id

    def _is_stale(self, candidate: Candidate) -> bool:
        """More than a candle has passed since it could be known: such an entry is missed, never taken."""
        return to_ms(self._clock.now()) > candidate.close_time + candidate.timeframe.ms

    def _propose(self, pair: Pair, time: int) -> Candidate | None:
        """The crossover at this candle, if the pair's stretch is long enough to trust the indicators."""
        tracker = self.memory.histories[pair].tracker
        if tracker.time != time:
            return None
        return self._candidate(pair, tracker)

    def _candidate(self, pair: Pair, tracker: Tracker) -> Candidate | None:
        last, early = self.memory.book.last_signals.get(pair), self.memory.early.get(pair, 0)
        if early > (last or 0) and tracker.rows_after(early) < self.in_force.strategy.cooldown_bars:
            last = early
        candidate = tracker.candidate(last, self.in_force.strategy)
        if candidate is None or len(tracker) >= self._settings.candles.min_history:
            return candidate
        if candidate.is_signal:
            # Seen but not trusted: it still starts the cooldown, exactly as the backtest's early signals do.
            self.memory.early[pair] = candidate.open_time
        return None

    def _recall(self, pair: Pair) -> None:
        """The early signals of a young stretch. No store has them: its candles are gone through once more.

        One that is known already stays: a history may be set back for another pair's sake.
        """
        history, settings = self.memory.histories[pair], self.in_force
        young = len(history.tracker)
        if young >= settings.candles.min_history + settings.strategy.cooldown_bars:
            return
        candles = history.candles
        tracker = Tracker.over(candles.rows(0, len(candles) - young), settings.candles.max_gap)
        for candle in candles.tail(young):
            tracker.update(candle)
            if len(tracker) < settings.candles.min_history:
                self._candidate(pair, tracker)

    def _stance(self, pair: Pair, model: ModelOpinion | None = None) -> Stance:
        """A weight belongs to the model it was granted to; any other one has none."""
        controls = self.memory.controls
        granted = model is not None and model.model_id == controls.approved_model
        return Stance(
            approved_weight=controls.approved_weight if granted else 0.0,
            outcomes=self.memory.outcomes,
            paused=self.memory.controls.paused,
            enabled=self.enabled(pair),
            layers=self._layers,
        )

    async def _gather(self, candidate: Candidate, together: Sequence[Pair], features: Mapping[str, float]) -> Proposal:
        """All that the decision needs from outside the book, asked for at the same time.

        ``together``: the pairs with a signal at this candle, each of which may be a position when the next is decided.
        """
        stance = self._stance(candidate.pair)
        stale = self._is_stale(candidate)
        if not self._layers:
            return Proposal(candidate, Opinions(), filters.Facts(), stance)
        wanted = candidate.is_signal and not stale and stance.enabled
        model, gemini, facts = await asyncio.gather(
            self._ask_model(candidate, features, stale),
            self._ask_gemini(candidate, wanted),
            self._facts(candidate, wanted, together),
        )
        opinions = Opinions(
            gemini=gemini if isinstance(gemini, GeminiOpinion) else None,
            gemini_note=gemini if isinstance(gemini, str) else "",
            gemini_present=self._advisor is not None,
            model=model if isinstance(model, ModelOpinion) else None,
            model_note=model if isinstance(model, str) else "",
        )
        return Proposal(candidate, opinions, facts, stance, stale, features=features)

    def _features(self, found: Sequence[Candidate]) -> dict[Pair, dict[str, float]]:
        """All that a model can see of the candidates of one close."""
        if not found or not self._layers:
            return {}
        windows = [h.candles.between(None, found[0].close_time) for h in self.memory.histories.values()]
        scene = scene_of(windows, self._settings.traded, self._settings)
        own = self.memory.windows
        return {c.pair: features_of(c.snapshot, own[c.pair], c.direction, scene) for c in found}

    async def _ask_model(self, candidate: Candidate, features: Mapping[str, float], stale: bool) -> ModelOpinion | str:
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
        recent = self.memory.recent if prediction.model_id == self.memory.recent_model else []
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

    async def _ask_gemini(self, candidate: Candidate, wanted: bool) -> GeminiOpinion | str:
        if self._advisor is None or not wanted:
            return "not asked"
        asking = asyncio.ensure_future(self._advisor.opinion(candidate, self.memory.windows[candidate.pair]))
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

    async def _facts(self, candidate: Candidate, wanted: bool, together: Sequence[Pair]) -> filters.Facts:
        """Trends and correlations; lower timeframes are fetched only for a signal that may be taken."""
        rules = self.in_force.rules
        lower: dict[str, Candles] = {}
        below = [n for n in rules.alignment_timeframes if Timeframe.parse(n).minutes < candidate.timeframe.minutes]
        for name in below if wanted else ():
            found = await self._lower.lower(candidate.pair, name, candidate.close_time)
            if found is not None:
                lower[name] = found
        near = dict.fromkeys([*(p.pair for p in self.account.positions), *together])
        others = {pair: c for pair in near if (c := self._recent(pair, candidate)) is not None}
        window, btc = self._recent(candidate.pair, candidate), self._recent(self._settings.btc, candidate)
        assert window is not None
        return filters.gather_facts(window, btc, lower, others, rules, self._settings.candles.max_gap)

    def _recent(self, pair: Pair, candidate: Candidate) -> Candles | None:
        """A pair's last ``history`` candles by the candidate's close, None where there are none.

        A history holds more, but how much more depends on the anchor, and no fact may.
        """
        history = self.memory.histories.get(pair)
        if history is None:
            return None
        return history.candles.between(None, candidate.close_time).tail(self._settings.candles.history)

    async def _commit(self, effect: Effect, book: Book) -> None:
        """Stores the effect, then makes it the present. What the store has seen before is not applied twice."""
        if not await self._ledger.commit(effect):
            log.warning("the step %s was stored before: reloading", effect.step)
            histories, early = self.memory.histories, self.memory.early
            await self.start()
            self.memory.histories, self.memory.early = histories, early
            return
        self.memory.book = book
        self.memory.cursors[effect.step].update(effect.cursors)
        if effect.follows and any(f.follow.closed for f in effect.follows):
            self.memory.outcomes = await self._ledger.outcome_count()
        if effect.events:
            self._bell.ring()
