"""The paper account: cash, open positions and what they are worth. All money in USDT, float64, never rounded."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.domain.candles import Pair
from core.domain.trading import Direction, Follow


@dataclass(frozen=True, slots=True)
class Position:
    """An open paper trade. ``quantity`` is what was opened, in base units; ``follow.remaining`` is what is left.

    ``risk_amount`` = quantity * stop distance, in USDT, at the start. ``entry_fill`` is the entry after slippage.
    ``mark`` is the pair's last close.
    """

    trade_id: int
    pair: Pair
    direction: Direction
    quantity: float
    entry_fill: float
    risk_amount: float
    follow: Follow
    mark: float
    pnl: float = 0.0  # net money realised so far, the entry fee included

    @property
    def open_quantity(self) -> float:
        return self.quantity * self.follow.remaining

    @property
    def open_pnl(self) -> float:
        """Unrealised money at the last close, before the exit's costs."""
        return self.pnl_at(self.mark)

    def pnl_at(self, price: float) -> float:
        """What ``open_pnl`` would be at this price."""
        return self.direction.sign * (price - self.entry_fill) * self.open_quantity

    @property
    def notional(self) -> float:
        return self.mark * self.open_quantity

    @property
    def open_risk(self) -> float:
        """What the stop would still cost, in USDT."""
        return self.risk_amount * self.follow.remaining


@dataclass(frozen=True, slots=True)
class Account:
    """``cash`` holds every realised P&L; equity = cash + open P&L at the last closes.

    ``day_start_equity`` is the equity at 00:00 UTC of ``day`` (days since the epoch), ``peak_equity`` the highest
    equity at any close. ``paused_day`` is the day whose loss limit was hit, ``drawdown_paused`` stays until a person
    resumes. ``loss_streak`` counts the losing trades since the last that won, ``cooldown_until`` (epoch ms) is when
    entries begin again after a run of them.
    """

    cash: float
    positions: tuple[Position, ...] = field(default=())
    day: int = -1
    day_start_equity: float = 0.0
    peak_equity: float = 0.0
    paused_day: int = -1
    drawdown_warned: bool = False
    drawdown_paused: bool = False
    loss_streak: int = 0
    cooldown_until: int = 0

    @property
    def equity(self) -> float:
        return self.cash + sum(p.open_pnl for p in self.positions)

    @property
    def open_pnl(self) -> float:
        return sum(p.open_pnl for p in self.positions)

    @property
    def drawdown(self) -> float:
        """Fraction below the peak, 0..1."""
        return max(0.0, 1 - self.equity / self.peak_equity) if self.peak_equity > 0 else 0.0

    @property
    def day_loss(self) -> float:
        """Fraction below the equity at 00:00 UTC; negative on a day that has gained."""
        return 1 - self.equity / self.day_start_equity if self.day_start_equity > 0 else 0.0

    def position(self, pair: Pair) -> Position | None:
        return next((p for p in self.positions if p.pair == pair), None)
