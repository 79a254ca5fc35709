"""Adding pairs from the chat and taking them away again: liquid ones with their history checked, two at a time.

What is added is kept in the store. It counts from the next beginning of the engine on, which is asked for at once: the
way from there is that of any start.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.candles import DAY_MS, HOUR_MS, Pair
from core.domain.ledger import Switch
from core.domain.messages import Notice
from core.errors import MarketError, UsageError
from core.ports import Clock, Ledger, Market, MarketData
from core.services.added import ADDED_RISK, MOST_PAIRS
from core.services.bus import Bell
from core.services.changing import Changer, Standing
from core.services.loop import TradingLoop
from core.services.markets import check_pairs
from core.services.pair_depth import Depth, depth_of
from core.services.stock import Stock
from core.services.suggested import is_leveraged, is_stable, ranked
from core.services.views import Actor

log = logging.getLogger(__name__)

AT_ONCE = 2
MOST_LOOKED_AT = 8  # of which the history is asked for, to find two
LEAST_DAYS = 30.0  # of history; a younger pair can be added by name
USUAL_SIGNALS = 0.12
"""Signals per pair and day, where no stored candles say more: real candles of 2022 to 2024."""

TOLD = "pairs:told"
"""The mark that names the added pairs of which has been told that they are on, as JSON."""

LOOK_EVERY = 2.0  # seconds of wall time: a pair whose history is late is told of when it comes

_FRESH_SECONDS = 600.0  # of wall time, for what the exchange lists and what is turned over


@dataclass(frozen=True, slots=True)
class Suggested:
    """A pair that could be added: ``volume`` is the turnover of 24 hours in USDT."""

    pair: str
    volume: float
    depth: Depth


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Those from number ``skip`` on; ``after`` is where the next begin, None where there are no more.

    ``young`` were left out for their short history, ``liquid`` could be added in all, ``room`` may be.
    """

    pairs: tuple[Suggested, ...]
    skip: int
    after: int | None
    young: int
    liquid: int
    room: int


@dataclass(frozen=True, slots=True)
class PairPlan:
    """What adding (or removing) a pair does. ``done`` False: this is only shown.

    ``signals`` are expected a day, ``requests`` asked a day; ``depth`` and ``volume`` None for a removal; ``risk`` is
    the multiplier that it begins with, ``pairs`` how many there are afterwards.
    """

    pair: str
    add: bool
    done: bool
    signals: float
    requests: float
    pairs: int
    risk: float
    depth: Depth | None = None
    volume: float | None = None


class AddedPairs:
    """``settings`` are those of this engine, ``added`` of its pairs came from the store.

    ``again`` asks for a new beginning of everything; ``market`` is the client for long histories.
    """

    def __init__(
        self,
        settings: Settings,
        added: tuple[Pair, ...],
        clock: Clock,
        ledger: Ledger,
        loop: TradingLoop,
        market: MarketData,
        stock: Callable[[], Awaitable[Stock]],
        bell: Bell,
        again: Callable[[], None],
        ready: Callable[[], Awaitable[object]],
    ) -> None:
        """``ready`` is awaited before any pair is said to be on: trading has begun, with each pair's history."""
        self._settings = settings
        self._added = added
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._market = market
        self._stock = stock
        self._bell = bell
        self._again = again
        self._ready = ready
        self._changer = Changer(clock, ledger, loop)
        self._one = asyncio.Lock()
        self._listed: tuple[float, Mapping[Pair, Market], Mapping[Pair, float]] | None = None
        self._depths: dict[Pair, Depth] = {}
        self._told: tuple[str, ...] | None = None

    @property
    def added(self) -> tuple[Pair, ...]:
        """The pairs of this engine that can be removed from the chat."""
        return self._added

    # -- suggesting ----------------------------------------------------------------------------------------------------

    async def suggest(self, skip: int = 0) -> Suggestions:
        """The two most liquid pairs from number ``skip`` on that have some history. Raises MarketError."""
        async with self._one:
            markets, volumes = await self._lists()
            found = ranked(markets, volumes, self._taken())
            now_ms = await self._market.server_time()
            chosen: list[Suggested] = []
            young, at = 0, skip
            while len(chosen) < AT_ONCE and at < min(len(found), skip + MOST_LOOKED_AT):
                part = found[at : at + AT_ONCE - len(chosen)]
                depths = await asyncio.gather(*(self._depth(r.pair, now_ms) for r in part))
                chosen += [
                    Suggested(str(r.pair), r.volume, d) for r, d in zip(part, depths, strict=True) if _old_enough(d)
                ]
                young += sum(not _old_enough(d) for d in depths)
                at += len(part)
            after = at if at < len(found) else None
            return Suggestions(tuple(chosen), skip, after, young, len(found), self._room())

    async def _lists(self) -> tuple[Mapping[Pair, Market], Mapping[Pair, float]]:
        now = asyncio.get_running_loop().time()
        if self._listed is None or now - self._listed[0] > _FRESH_SECONDS:
            markets, volumes = await asyncio.gather(self._market.markets(), self._market.volumes())
            self._listed = now, markets, volumes
        return self._listed[1], self._listed[2]

    async def _depth(self, pair: Pair, now_ms: int) -> Depth:
        """Asked once in the life of this engine; one that cannot be had now counts as none."""
        if pair not in self._depths:
            frame, page = self._settings.frame, self._settings.exchange.page
            try:
                found = await depth_of(self._market, pair, frame, self._settings.bootstrap_ms, now_ms, page)
            except MarketError:
                return Depth(pair, 0.0, False, 0, 0, 0)
            self._depths[pair] = found
        return self._depths[pair]

    def _taken(self) -> set[Pair]:
        return {*self._settings.traded, *map(Pair.parse, self._loop.memory.controls.added)}

    def _room(self) -> int:
        return max(0, MOST_PAIRS - len(self._taken()))

    # -- adding and removing -------------------------------------------------------------------------------------------

    async def plan(self, text: str, add: bool) -> PairPlan:
        """What it would do. Raises UsageError where it cannot be done, MarketError where the exchange is silent."""
        pair = Pair.parse(text)
        if not add:
            self._removable(pair)
            return await self._planned(pair, add=False, done=False)
        self._addable(pair)
        async with self._one:
            markets, volumes = await self._lists()
            problems = check_pairs(markets, [pair], self._settings.exchange.renames)
            if problems:
                raise UsageError(str(problems[0]))
            if pair.quote != "USDT":
                raise UsageError(f"{pair} is not traded against USDT, in which the account is kept")
            if is_stable(pair.base):
                raise UsageError(f"{pair.base} stands for money: it does not move")
            if is_leveraged(pair.base, {p.base for p in markets}):
                raise UsageError(f"{pair.base} is a leveraged token: it loses by itself, whatever the coin does")
            depth = await self._depth(pair, await self._market.server_time())
        planned = await self._planned(pair, add=True, done=False)
        return replace(planned, depth=depth, volume=volumes.get(pair))

    async def change(self, text: str, add: bool, actor: Actor) -> PairPlan:
        """Does it, and has everything begin anew. Raises as ``plan``."""
        if actor.role == "viewer":
            raise UsageError("a viewer cannot change the pairs")
        planned = await self.plan(text, add)
        pair = Pair.parse(text)

        def changed(now: Standing) -> Standing:
            (self._addable if add else self._removable)(pair)
            before = now.controls.added
            added = (*before, str(pair)) if add else tuple(symbol for symbol in before if symbol != str(pair))
            switches = {**now.switches, pair: Switch(True)} if add else now.switches
            return replace(now, controls=replace(now.controls, added=added), switches=switches)

        await self._changer.make(actor, "add_pair" if add else "remove_pair", changed, reversible=False)
        self._again()
        return replace(planned, done=True)

    def _addable(self, pair: Pair) -> None:
        if pair in self._taken():
            raise UsageError(f"{pair} is among the pairs already")
        if not self._room():
            raise UsageError(f"there are {MOST_PAIRS} pairs, which is the most; remove one first")

    def _removable(self, pair: Pair) -> None:
        if str(pair) not in self._loop.memory.controls.added:
            if pair in self._settings.traded:
                raise UsageError(f"{pair} is in config.yaml and leaves with that; /pair {pair.base} off stops it")
            raise UsageError(f"{pair} is not among the pairs")
        if self._loop.account.position(pair) is not None:
            raise UsageError(f"{pair} has an open trade; let it end, or close it with /close {pair.base}")

    async def _planned(self, pair: Pair, *, add: bool, done: bool) -> PairPlan:
        stock = await self._stock()
        return PairPlan(
            pair=str(pair),
            add=add,
            done=done,
            signals=stock.history_per_pair or USUAL_SIGNALS,
            requests=DAY_MS / self._settings.frame.ms,
            pairs=len(self._taken()) + (1 if add else -1),
            risk=ADDED_RISK,
        )

    # -- telling -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Says once of each added pair that it is on, and of each removed one that it is gone. Ends by cancellation.

        Beside the trading, not in its upkeep: that may be training for minutes.
        """
        await self._ready()
        while True:
            try:
                await self.review()
            except Exception:  # the edge of a loop: a store that fails is told of elsewhere
                log.exception("it could not be told which pairs are on")
            await asyncio.sleep(LOOK_EVERY)

    async def review(self) -> None:
        """One look. What is told and that it was told are stored together: a kill in between tells nothing twice."""
        if self._told is None:
            self._told = tuple(json.loads(await self._ledger.mark(TOLD) or "[]"))
        here = tuple(map(str, self._added))
        new = [symbol for symbol in here if symbol not in self._told and self._candles(symbol)]
        gone = [symbol for symbol in self._told if symbol not in here]
        if not new and not gone:
            return
        told = tuple(symbol for symbol in (*self._told, *new) if symbol not in gone)
        await self._ledger.set_mark(TOLD, json.dumps(told), [*map(self._on, new), *map(self._off, gone)])
        self._told = told
        self._bell.ring()

    def _candles(self, symbol: str) -> int:
        history = self._loop.memory.histories.get(Pair.parse(symbol))
        return 0 if history is None else len(history.tracker)

    def _on(self, symbol: str) -> Notice:
        there, wanted, frame = self._candles(symbol), self._settings.candles.min_history, self._settings.frame
        days = there * frame.ms / DAY_MS
        missing = (wanted - there) * frame.ms / HOUR_MS
        ready = "signals from the next close on" if there >= wanted else f"signals in {missing:.3g} hours"
        risk = self._settings.risk_of(Pair.parse(symbol))
        detail = (
            f"{there:,} candles are loaded ({days:.1f} days): {ready}. Its risk is {risk:g} of a usual trade's; its "
            "longer history comes with the next training."
        )
        return self._notice("on", symbol, f"{symbol} is on", detail)

    def _off(self, symbol: str) -> Notice:
        return self._notice("off", symbol, f"{symbol} is no longer among the pairs", "What it has taught stays.")

    def _notice(self, what: str, symbol: str, title: str, detail: str) -> Notice:
        now = self._clock.now()
        key = f"pair:{what}:{symbol}:{now.timestamp():.0f}"
        return Notice(key=key, time=now, topic="started", title=title, detail=detail)


def _old_enough(depth: Depth) -> bool:
    return depth.days >= LEAST_DAYS
