"""What is at risk now, beside every limit, and which of them would stop new entries next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.candles import Candles, Pair
from core.engine.filters import correlation

Limit = Literal["daily loss", "drawdown", "run of losses"]


@dataclass(frozen=True, slots=True)
class OpenRisk:
    """An open trade: what its stop would still cost, and what it is worth, in USDT."""

    pair: str
    direction: str
    risk: float
    notional: float


@dataclass(frozen=True, slots=True)
class NextPause:
    """The limit that would stop entries first: ``loss`` more USDT, or for a run of losses ``trades`` more."""

    limit: Limit
    loss: float
    trades: int = 0


@dataclass(frozen=True, slots=True)
class RiskView:
    """Money in USDT at the last closes, shares 0..1.

    ``groups``: open pairs that win and lose together, two or more each; ``unknown``: pairs with too few candles to
    tell. ``day_loss`` is negative on a day that has gained. ``streak_limit`` 0: a run of losses pauses nothing.
    ``paused``: why there are no entries, empty where there are. ``stops``: what equity would lose from the last closes
    if every stop were hit, before costs.
    """

    equity: float
    open: tuple[OpenRisk, ...]
    open_risk: float
    open_risk_limit: float
    notional: float
    notional_limit: float
    max_leverage: float
    max_positions: int
    groups: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...]
    max_correlated: int
    day_loss: float
    day_loss_limit: float
    drawdown: float
    drawdown_warn: float
    drawdown_pause: float
    streak: int
    streak_limit: int
    paused: str
    next_pause: NextPause | None
    stops: float

    @property
    def positions(self) -> int:
        return len(self.open)


def risk_of(account: Account, settings: Settings, windows: Mapping[Pair, Candles], paused: str) -> RiskView:
    limits, equity = settings.portfolio, account.equity
    groups, unknown = moving_together(account.positions, windows, settings)
    return RiskView(
        equity=equity,
        open=tuple(OpenRisk(str(p.pair), p.direction.value, p.open_risk, p.notional) for p in account.positions),
        open_risk=sum(p.open_risk for p in account.positions),
        open_risk_limit=limits.max_open_risk * equity,
        notional=sum(p.notional for p in account.positions),
        notional_limit=settings.paper.max_leverage * equity,
        max_leverage=settings.paper.max_leverage,
        max_positions=limits.max_positions,
        groups=groups,
        unknown=unknown,
        max_correlated=limits.max_correlated,
        day_loss=account.day_loss,
        day_loss_limit=limits.daily_loss,
        drawdown=account.drawdown,
        drawdown_warn=limits.drawdown_warn,
        drawdown_pause=limits.drawdown_pause,
        streak=account.loss_streak,
        streak_limit=limits.loss_streak,
        paused=paused,
        next_pause=None if paused else next_pause(account, settings),
        stops=sum(p.pnl_at(p.mark) - p.pnl_at(_stop(p, settings)) for p in account.positions),
    )


def _stop(position: Position, settings: Settings) -> float:
    """Where it is now: at the entry after TP1, where the settings move it there."""
    levels = position.follow.levels
    moved = settings.strategy.breakeven_after_tp1 and position.follow.targets_hit
    return levels.entry if moved else levels.stop


def next_pause(account: Account, settings: Settings) -> NextPause:
    """The nearest of the limits in money. A run of losses is named where one more losing trade completes it."""
    limits, equity = settings.portfolio, account.equity
    if limits.loss_streak and account.loss_streak == limits.loss_streak - 1:
        return NextPause("run of losses", 0.0, 1)
    day = equity - (1 - limits.daily_loss) * account.day_start_equity
    fall = equity - (1 - limits.drawdown_pause) * account.peak_equity
    found: tuple[Limit, float] = ("daily loss", day) if day <= fall else ("drawdown", fall)
    return NextPause(found[0], max(0.0, found[1]))


def moving_together(
    positions: tuple[Position, ...], windows: Mapping[Pair, Candles], settings: Settings
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Groups of open pairs of which each wins and loses with another, and pairs of which nobody can tell."""
    limits, rules = settings.portfolio, settings.rules
    unknown: dict[str, None] = {}
    groups: list[set[str]] = []
    for number, one in enumerate(positions):
        for other in positions[number + 1 :]:
            a, b = windows.get(one.pair), windows.get(other.pair)
            both = (
                correlation(a, b, rules.correlation_bars, settings.candles.max_gap)
                if a is not None and b is not None and len(a) and len(b)
                else None
            )
            if both is None:
                unknown |= {str(one.pair): None, str(other.pair): None}
            elif one.direction.sign * other.direction.sign * both > limits.correlation:
                joined = {str(one.pair), str(other.pair)}
                touching = [g for g in groups if g & joined]
                groups = [g for g in groups if g not in touching] + [joined.union(*touching)]
    order = [str(p.pair) for p in positions]
    return tuple(tuple(sorted(g, key=order.index)) for g in groups), tuple(unknown)
