"""What blocks a trade, what filters are worth and what would bring the next look nearer, as a test says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from core.domain.candles import Pair
from core.domain.trading import Direction, Regime, Ruling, Snapshot
from core.engine.nearness import Crossing, Nearness
from core.errors import UsageError
from core.ml.audit import Audit, Figures, FilterAudit, Worth
from core.services.added_pairs import PairPlan, Suggested, Suggestions
from core.services.filter_desk import FiltersView
from core.services.outlook import Due, Outlook, Shortening
from core.services.pair_depth import Depth
from core.services.views import Actor, Progress
from core.services.whynot import Point, WhyNot

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)

OUTLOOK = Outlook(
    title="50 outcomes",
    needed=50,
    have=31,
    due=Due(datetime(2027, 2, 12, tzinfo=UTC), 21.0),
    changes=(
        Shortening(
            "Add 7 pairs", datetime(2027, 1, 4, tzinfo=UTC), -0.08, -0.31, 0.15, 31, "pairs suggest",
            "what all signals made so far; other pairs may differ",
        ),
        Shortening(
            "ADX from 20", datetime(2027, 1, 20, tzinfo=UTC), -0.21, None, None, 12, "rule strategy.adx_min=20",
            "what it would have added so far",
        ),
    ),
)  # fmt: skip

_N = math.nan
SNAPSHOT = Snapshot(
    0, 17.48, 17.3, 17.4, 55.0, 19.0, _N, _N, 0.1, 0.57, _N, 0.9, 0.4, 0.41, Regime.CHOPPY, 11, 5
)  # fmt: skip


def a_whynot(pair: str = "LINK/USDT", **changes: object) -> WhyNot:
    """No crossover, ADX and regime against it, alignment half the size for a SHORT; ``changes`` replace fields."""
    crossover = Point("crossover", "crossover", Ruling.REFUSE, "no crossover at the last close")
    view = WhyNot(
        pair=pair,
        closed_at=NOON,
        close=17.48,
        first=crossover,
        points=(
            Point("candles", "history", Ruling.PASS, "884 candles, 300 wanted"),
            crossover,
            Point("filters", "adx", Ruling.REFUSE, "ADX 19.0 is below 25"),
            Point("filters", "rsi", Ruling.PASS, "RSI 55.0 is at most 70", Direction.LONG),
            Point("filters", "regime", Ruling.REFUSE, "the market is choppy: Hurst 0.41 (below 0.45)"),
            Point("rules", "alignment", Ruling.HALF, "1h up", Direction.SHORT),
            Point("portfolio", "positions", Ruling.PASS, "1 of 3 positions open"),
        ),
        near=Nearness(-0.0042, -0.6, None, (Crossing(Direction.LONG, 17.917, 0.025, 1.8),)),
        snapshot=SNAPSHOT,
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def figures(n: int = 40, net: float | None = -0.12) -> Figures:
    return Figures(n, 0.4, None if net is None else net + 0.2, net, -0.4, 0.16)


def a_filter(name: str, words: str, verdict: str = "cannot be told", in_force: bool = True) -> FilterAudit:
    worth = Worth(512, 40, -0.12, figures(51, 0.02), figures(91, -0.04), 0.06, -0.1, 0.22, 0.4, figures())
    return FilterAudit(name, words, in_force, worth, worth, worth, holm=False, verdict=verdict)  # type: ignore[arg-type]


def an_audit(verdict: str = "cannot be told") -> Audit:
    filters = (
        a_filter("adx", "ADX from 25", verdict),
        a_filter("volume", "volume from 0.75"),
        a_filter("alignment", "alignment veto", in_force=False),
        a_filter("VOLATILE", "no VOLATILE", in_force=False),
    )
    start = 1_795_000_000_000
    return Audit(start, start + 10**9, start + 2 * 10**9, ("LINK/USDT",), 812, 51, filters, (), tested=4)


def a_depth(pair: str, days: float = 730.0) -> Depth:
    return Depth(Pair.parse(pair), days, days >= 730, 1_000, 0, 0)


class FakeInsight:
    def __init__(self) -> None:
        self.outlook_view = OUTLOOK
        self.whynot_view = a_whynot()
        self.filters_view = FiltersView(an_audit("helps"), an_audit(), ("No 5m candles are stored.",), "live", PNG)
        self.filters_gate = asyncio.Event()
        self.filters_gate.set()
        self.suggested = [("XRP/USDT", 730.0), ("ADA/USDT", 411.0), ("DOT/USDT", 730.0)]
        self.added_pairs: list[str] = []
        self.changed: list[tuple[str, bool, str]] = []
        self.asked: list[dict[str, str]] = []

    async def outlook(self) -> Outlook:
        return self.outlook_view

    async def whynot(self, pair: str) -> WhyNot:
        if pair not in ("LINK/USDT", "ETH/USDT", "SOL/USDT"):
            raise UsageError(f"{pair} is not among the pairs: LINK, ETH, SOL")
        return replace(self.whynot_view, pair=pair)

    async def filters(self, progress: Progress) -> FiltersView:
        progress("filters: 300 crossovers looked at", 0.5)
        await self.filters_gate.wait()
        return self.filters_view

    async def suggest_pairs(self, skip: int = 0) -> Suggestions:
        left = self.suggested[skip : skip + 2]
        pairs = tuple(Suggested(pair, 12_345_678.0, a_depth(pair, days)) for pair, days in left)
        after = skip + 2 if skip + 2 < len(self.suggested) else None
        return Suggestions(pairs, skip, after, 1 if skip == 0 else 0, len(self.suggested), 55)

    async def plan_pair(self, pair: str, add: bool) -> PairPlan:
        if add == (pair in self.added_pairs):
            raise UsageError(f"{pair} is {'among the pairs already' if add else 'not among the pairs'}")
        depth, volume = (a_depth(pair), 12_345_678.0) if add else (None, None)
        return PairPlan(pair, add, False, 0.12, 96.0, 6 if add else 4, 0.5, depth, volume)

    async def change_pair(self, pair: str, add: bool, actor: Actor) -> PairPlan:
        plan = await self.plan_pair(pair, add)
        self.changed.append((pair, add, actor.name))
        (self.added_pairs.append if add else self.added_pairs.remove)(pair)
        return replace(plan, done=True)

    def added(self) -> tuple[str, ...]:
        return tuple(self.added_pairs)

    async def ask_rule(self, values: Mapping[str, str], actor: Actor) -> int:
        self.asked.append(dict(values))
        return 4
