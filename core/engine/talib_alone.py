"""TA-Lib without the pandas that importing it would bring along.

The package looks for pandas only to accept its columns; we hand it arrays. Loading pandas costs some 0.4 s and 70 MB,
most of what `julaba backtest` needs to start. Where pandas is there already, nothing is hidden and nothing is saved.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from threading import get_ident
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Says to one thread that there is no pandas. Others, who may be importing it at this very moment, get it."""

    def __init__(self) -> None:
        self.thread: int | None = None

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas" and self.thread == get_ident():
            raise ModuleNotFoundError("TA-Lib is loaded without pandas", name=fullname)


if "talib" in sys.modules:
    import talib
else:
    # Put in front and left there: who takes an entry out makes another thread's search skip the one behind it.
    _finder = _NoPandas()
    sys.meta_path.insert(0, _finder)
    _finder.thread = get_ident()
    try:
        import talib
    finally:
        _finder.thread = None

__all__ = ["talib"]
