"""Health as a stranger would want to see it: well, amiss, down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.domain.health import ChatHealth, Health, PairHealth, ProcessHealth, TradingHealth, Trouble

NOON = datetime(2026, 11, 21, 12, 0, 20, tzinfo=UTC)


def health(*troubles: Trouble, quarantined: str = "") -> Health:
    return Health(
        at=NOON,
        troubles=troubles,
        trading=TradingHealth(True, NOON - timedelta(seconds=20), 0.0, 10_120.5, 2, "", 0),
        pairs=(PairHealth("LINK/USDT", 20.0, ""), PairHealth("ETH/USDT", 2720.0 if quarantined else 20.0, quarantined)),
        chat=ChatHealth(4.0, "", 1, 3, 12.0),
        process=ProcessHealth("0.1.0", 90_000.0, 212_000_000, 0.03, 40.0, False),
        clock_offset=-0.4,
    )
