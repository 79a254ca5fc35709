"""The trading loop: at each close, exits first, then signals, opinions and entries. Live and replay run these lines.

What is known lives in ``Book`` and in the windows; what has happened is committed before it is assigned, so that a
crash at any point leaves a store from which ``start`` goes on. Handling the same candle twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future, ensure_future
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candle, Candles, Pair, Timeframe, to_ms
from core.domain.ledger import Effect, FollowRecord, Step
from core.domain.trading import Candidate, FollowKind, GeminiOpinion, ModelOpinion, Opinions, Verdict
from core.engine import between, filters, step
from core.engine.between import ByHand
from core.engine.history import History
from core.engine.step import Book, Close, Proposal
from core.engine.tracker import Tracker
from core.engine.trader import Stance
from core.engine.variants import variant_label, variant_verdicts
from core.ml.prediction import RECENT
from core.ports import Advisor, Clock, Ledger, Predictor
from core.services.asking import Asking, LowerCandles
from core.services.bus import Bell
from core.services.changes import check_history, in_force
from core.services.memory import Changing, Memory

log = logging.getLogger(__name__)

M1 = Timeframe.parse("1m")

TOGETHER = 12.0
"""Seconds of wall time in which the signals of one close are decided together; then each when its opinions are in."""


class Minutes(Protocol):
    """Where the 1m candles inside a running candle come from. A replay has none."""

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        """Closed ones with open times in ``[start_ms, end_ms)``, as many as can be had. Never raises."""
        ...


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
        minutes: Minutes | None = None,
        bell: Bell | None = None,
        layers: bool = True,
    ) -> None:
        check_history(settings)
        self._settings = settings
        self.in_force = settings  # with what an approver has changed; taken up at the next candle
        self._clock = clock
        self._ledger = ledger
        self._bell = bell or Bell()
        self._asking = Asking(
            settings, ledger, self._bell, advisor=advisor, predictor=predictor, lower=lower or LowerCandles()
        )
        inside = settings.paper.exits_between_closes and settings.frame.ms > M1.ms
        self._minutes = minutes if inside else None
        self._layers = layers
        self._order = {pair: n for n, pair in enumerate(settings.traded)}
        self._configured = {Pair.parse(p.symbol): p.enabled for p in settings.pairs}
        self.memory: Memory
        self.last_close: int | None = None
        # Held by whoever changes the memory, from reading it until the store has the change: steps and people alike.
        # Never while an opinion is awaited, and never to look.
        self.changing = Changing(self._read_anew)

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
        if entered := state.cursors["entries"]:
            self.last_close = max(entered.values()) + self._settings.frame.ms

    def _own_signals(self, signals: Mapping[tuple[str, str, Pair], int]) -> dict[tuple[str, Pair], int]:
        """Those of today's variants: one that was changed under its old name has had no signal yet."""
        labels = {name: variant_label(name, self.in_force) for name in self._settings.variants}
        return {(name, pair): time for (name, label, pair), time in signals.items() if labels.get(name) == label}

    @property
    def started(self) -> bool:
        """Whether there is a memory to look at."""
        return hasattr(self, "memory")

    @property
    def account(self) -> Account:
        return self.memory.book.account

    def enabled(self, pair: Pair) -> bool:
        """As last switched from the chat, else as configured."""
        switch = self.memory.switches.get(pair)
        if switch is not None:
            return switch.enabled
        return self._configured.get(pair, False)

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
        new = [
            pair
            for pair in sorted(candles, key=lambda p: (self._order.get(p, len(self._order)), p))
            if self._concerns(pair) and self._is_new("exits", pair, time)
        ]
        before = {pair: self._last_close(pair) for pair in new}
        inside = await self._inside(dict.fromkeys(new, (time, time + self._settings.frame.ms)))
        for pair, candle in candles.items():
            self._append(pair, candle)
        if new:
            async with self.changing:
                # The minutes that no look has had come first, as a look of their own: it could have come before.
                await self._look(inside)
                closes = {p: Close(candles[p], before[p]) for p in new}
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

    def _last_close(self, pair: Pair) -> float | None:
        history = self.memory.histories.get(pair)
        return None if history is None else history.last_close

    async def look_inside(self, now_ms: int) -> None:
        """Stops and targets of open trades by the 1m candles that have closed by ``now_ms`` since each pair's close.

        A candle whose close has come, and is not handled yet, is looked at to its end and not beyond.
        """
        frame = self._settings.frame.ms
        spans = {}
        for record in self._open_trades():
            opened = record.last_time + frame
            first, last = max(opened, self._minutes_from(record.pair)), min(M1.floor(now_ms), opened + frame)
            if first < last:
                spans[record.pair] = (first, last)
        inside = await self._inside(spans)
        if not any(len(candles) for candles in inside.values()):
            return
        async with self.changing:
            await self._look(inside)

    async def _look(self, inside: Mapping[Pair, Candles]) -> None:
        """Of these minutes, those of each open trade's running candle that no look has had. ``changing`` is held.

        Where candles are missing before that one, nobody knows what they did: the closed candle alone judges.
        """
        frame = self._settings.frame.ms
        begun = {r.pair: r.last_time + frame for r in self._open_trades()}
        minutes = {
            p: tuple(c for c in self._unseen(p, inside) if begun[p] <= c.open_time < begun[p] + frame)
            for p in inside
            if p in begun
        }
        book, effect = between.run_minutes(self.memory.book, minutes, self.in_force)
        if effect.quiet:
            self.memory.book = book
            self.memory.cursors["minutes"].update(effect.cursors)
        else:
            await self._commit(effect, book)

    async def close_by_hand(self, hands: Iterable[ByHand]) -> tuple[FollowRecord, ...]:
        """Closes what remains of these trades; gives those that were still open, as they ended."""
        async with self.changing:
            book, effect = between.run_manual(self.memory.book, hands, self.in_force)
            if not effect.quiet:
                await self._commit(effect, book)
        return effect.follows

    def _open_trades(self) -> list[FollowRecord]:
        return [r for r in self.memory.book.follows.values() if r.kind is FollowKind.TRADE]

    async def _inside(self, spans: Mapping[Pair, tuple[int, int]]) -> dict[Pair, Candles]:
        """The 1m candles of these spans (open times, the end excluded), for pairs with an open trade."""
        if self._minutes is None:
            return {}
        held = [pair for pair in spans if self.account.position(pair) is not None]
        found = await asyncio.gather(*(self._minutes.minutes(pair, *spans[pair]) for pair in held))
        return dict(zip(held, found, strict=True))

    def _unseen(self, pair: Pair, inside: Mapping[Pair, Candles]) -> tuple[Candle, ...]:
        if pair not in inside:
            return ()
        return tuple(inside[pair].between(self._minutes_from(pair), None))

    def _minutes_from(self, pair: Pair) -> int:
        """The open time of the first minute of a pair that no look has had."""
        seen = self.memory.cursors["minutes"].get(pair)
        return 0 if seen is None else seen + M1.ms

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
        features = self._asking.features(self.memory, found) if self._layers else {}
        gathering = {c.pair: ensure_future(self._gather(c, together, features.get(c.pair, {}))) for c in found}
        try:
            late = set(gathering)
            if late:
                _, late = await self._wait(gathering, late, TOGETHER, asyncio.ALL_COMPLETED)
            ready = [pair for pair in pairs if pair not in late]
            await self._decide(time, ready, [gathering[p].result() for p in ready if p in gathering], choices)
            while late:  # somebody's opinion takes its time: the others are not kept waiting for it
                ready, late = await self._wait(gathering, late, None, asyncio.FIRST_COMPLETED)
                await self._decide(time, ready, [gathering[p].result() for p in ready], choices)
        finally:
            for work in gathering.values():
                work.cancel()

    async def _wait(
        self, gathering: Mapping[Pair, Future[Proposal]], late: set[Pair], timeout: float | None, until: str
    ) -> tuple[list[Pair], set[Pair]]:
        """Who is ready, in the pairs' order, and who is not."""
        await asyncio.wait([gathering[p] for p in late], timeout=timeout, return_when=until)
        still = {p for p in late if not gathering[p].done()}
        return [p for p in gathering if p in late - still], still

    async def _decide(
        self,
        time: int,
        pairs: Sequence[Pair],
        gathered: Sequence[Proposal],
        choices: Mapping[Pair, tuple[Verdict, ...]],
    ) -> None:
        if not pairs:
            return
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
            self._asking.model(self.memory, candidate, features, stale),
            self._asking.gemini(self.memory, candidate, wanted),
            self._asking.facts(self.memory, self.in_force.rules, candidate, wanted, together),
        )
        opinions = Opinions(
            gemini=gemini if isinstance(gemini, GeminiOpinion) else None,
            gemini_note=gemini if isinstance(gemini, str) else "",
            gemini_present=self._asking.has_advisor,
            model=model if isinstance(model, ModelOpinion) else None,
            model_note=model if isinstance(model, str) else "",
        )
        return Proposal(candidate, opinions, facts, stance, stale, features=features)

    async def _commit(self, effect: Effect, book: Book) -> None:
        """Stores the effect, then makes it the present. What the store has seen before is not applied twice."""
        if not await self._ledger.commit(effect):
            log.warning("the step %s was stored before: reloading", effect.step)
            await self._read_anew()
            return
        self.memory.book = book
        if effect.cursors:
            self.memory.cursors[effect.step].update(effect.cursors)
        if effect.follows and any(f.follow.closed for f in effect.follows):
            self.memory.outcomes = await self._ledger.outcome_count()
        if effect.events:
            self._bell.ring()

    async def _read_anew(self) -> None:
        """The memory as the store has it; candles are kept, for no store has those."""
        before = getattr(self, "memory", None)
        await self.start()
        if before is not None:
            self.memory.histories, self.memory.early = before.histories, before.early
