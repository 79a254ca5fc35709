"""How a line in the log looks, on stderr and in the file alike."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from types import TracebackType

from core.errors import JulabaError

FRAMES = 4
"""Places named of the way that a failure came."""


class LogLines(logging.Formatter):
    """Surprises have their whole traceback; what Julaba raises on purpose is its sentence and where it came from.

    A full disk met by every part each few seconds would else drown the log, and its reader, in tracebacks.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        error = ei[1]
        if not isinstance(error, JulabaError):
            return super().formatException(ei)
        ours = [f for f in traceback.extract_tb(error.__traceback__) if Path(__file__).parent.parent in _parents(f)]
        where = " > ".join(f"{Path(f.filename).name}:{f.lineno}" for f in ours[-FRAMES:])
        return f"{type(error).__name__}: {error}" + (f" ({where})" if where else "")


def _parents(frame: traceback.FrameSummary) -> tuple[Path, ...]:
    return () if "site-packages" in frame.filename else tuple(Path(frame.filename).parents)
