"""A sweep from its first chunk, or from where it stopped, to its results."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.services.sweep.evaluate import Source
from core.services.sweep.parts import SweepFolder
from core.services.sweep.plan import Sweep
from core.services.sweep.pools import Pool

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with how many settings are done, and how many there are."""


@dataclass(frozen=True, eq=False)
class SweepRun:
    """What a sweep left behind: its table (also in ``results``), and how many settings were there already."""

    sweep: Sweep
    folder: Path
    results: Path
    table: pa.Table
    found: int


def run_sweep(sweep: Sweep, source: Source, root: Path, pool: Pool, progress: Progress) -> SweepRun:
    """Works off what is missing of ``sweep`` in its folder under ``root``.

    However it ends, what is done is kept, and the next call goes on from there. Raises DataError where another process
    is at the same sweep or candles cannot be read, JulabaError where the pool fails, OSError where the disk does.
    """
    folder = SweepFolder(root, sweep)
    total = len(sweep.settings)
    with folder.turn():
        missing = folder.missing()
        found = done = total - sum(len(chunk.settings) for chunk in missing)
        progress(done, total)
        if missing:
            with closing(pool(sweep.ground, source, missing)) as results:
                for chunk, rows in results:
                    folder.keep(chunk, rows)
                    done += len(chunk.settings)
                    progress(done, total)
                    _log.info("%d of %d settings done", done, total)
        return SweepRun(sweep, folder.path, folder.results, folder.finish(), found)
