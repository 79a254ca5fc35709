"""Open trades as a plan to close them shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from core.domain.trading import Direction
from core.services.manual import Closing

_NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_closing_trade(
    trade_id: int, pair: str, direction: Direction = Direction.LONG, pnl: float = 41.05, age: float = 20
) -> Closing:
    return Closing(
        trade_id=trade_id,
        pair=pair,
        direction=direction,
        quantity=315.8,
        entry=17.48,
        price=17.61,
        price_at=_NOON - timedelta(seconds=age),
        pnl=pnl,
        r=0.34,
    )


CLOSINGS = (
    a_closing_trade(7, "LINK/USDT"),
    a_closing_trade(8, "ETH/USDT", Direction.SHORT, pnl=-61.3, age=900),
    a_closing_trade(9, "SOL/USDT", pnl=0.15),
)


def token(chosen: Sequence[Closing]) -> str:
    return "t" + "x".join(str(c.trade_id) for c in chosen)
