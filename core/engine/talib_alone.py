"""TA-Lib without the pandas that importing it would bring along.

The package looks for pandas only to accept its columns; we hand it arrays. Loading pandas costs some 0.4 s and 70 MB,
most of what `julaba backtest` needs to start. Where pandas is there already, nothing is hidden and nothing is saved.
"""

from __future__ import annotations

import sys

if "pandas" in sys.modules or "talib" in sys.modules:
    import talib
else:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # how Python is told that a module cannot be had
    try:
        import talib
    finally:
        del sys.modules["pandas"]

__all__ = ["talib"]
