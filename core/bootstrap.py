"""The one place that names concrete adapters. Nothing here connects anywhere until it is used.

Adapters are imported where they are made, so that a command pays only for the libraries it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.config import Settings
from core.ports import Clock, MarketData

if TYPE_CHECKING:
    from core.adapters.candle_files import CandleFiles
    from core.adapters.model_files import ModelFiles


def market(settings: Settings) -> MarketData:
    """The exchange of the settings; ``await close()`` it."""
    from core.adapters.ccxt_market import CcxtMarket

    return CcxtMarket(settings.exchange)


def candle_store(data_dir: Path) -> CandleFiles:
    """The candles under ``data_dir``; a ``CandleStore`` whose files can also be read unchecked."""
    from core.adapters.candle_files import CandleFiles

    return CandleFiles(data_dir / "candles")


async def clock(settings: Settings, exchange: MarketData) -> Clock:
    """The clock of the settings, running. Raises MarketError when the exchange's is wanted and cannot be read."""
    from core.adapters.clocks import ExchangeClock, SystemClock

    if settings.clock == "system":
        return SystemClock()
    exchange_clock = ExchangeClock(exchange)
    await exchange_clock.start()
    return exchange_clock


def model_files(data_dir: Path) -> ModelFiles:
    """The models under ``data_dir``."""
    from core.adapters.model_files import ModelFiles

    return ModelFiles(data_dir / "models")
