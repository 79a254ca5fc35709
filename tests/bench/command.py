"""The whole command from a cold start beside the row-by-row way as a whole process: 5 pairs x 90 days."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.candles import market, write
from tests.bench.measure import Line, beside, process, python


def command() -> Iterator[Line]:
    julaba = Path(sys.executable).parent / "julaba"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(market(), folder)
        peaks: list[float] = []

        def ours() -> None:
            peaks.append(process([julaba, "backtest", "--data-dir", folder / "data", "--json"]).peak_mb)

        taken, theirs = beside(ours, lambda: python("tests.bench.row_by_row", folder / "csv"))
    yield Line(
        part="command",
        what="`julaba backtest` from a cold start, beside the row-by-row way from CSV",
        ours=taken,
        theirs=theirs,
        unit="s",
        goal="ratio",
        must=10,
        aim=25,
        note="whole processes, their imports included; candles from Parquet here, from CSV there",
    )
    yield Line(
        part="command", what="`julaba backtest`: memory at the most", ours=max(peaks), unit="MB", goal="ours", must=220
    )
