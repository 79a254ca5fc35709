"""Every indicator of every candle as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from core.domain.candles import Candles
from core.engine.indicators import Indicators
from core.services.whole_file import whole_file

PRICES = ("open", "high", "low", "close", "volume")
VALUES = (
    *("sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "atr_percent", "volume_sma", "volume_ratio"),
    *("sma_distance_percent", "hurst"),
)
COLUMNS = ("timestamp", *PRICES, *VALUES, "regime", "hour", "day_of_week")


def write_indicators(candles: Candles, ind: Indicators, path: Path) -> None:
    """One line per candle, in ``COLUMNS``: ``timestamp`` is the open time in epoch ms, full precision, empty = not yet
    defined; the file is there whole or not at all. ``ind`` has the rows of ``candles``. Raises OSError.
    """
    columns = (
        candles.time.tolist(),
        *(getattr(candles, name).tolist() for name in PRICES),
        *(["" if v != v else v for v in getattr(ind, name).tolist()] for name in VALUES),  # NaN is not itself
        [regime.value for regime in ind.regimes()],
        ind.hour.tolist(),
        ind.day_of_week.tolist(),
    )
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(*columns, strict=True))
