"""ccxt with MEXC alone: in processes of their own, for what a test has imported stays imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def said(program: str, *more_path: Path) -> list[str]:
    path = "".join(f"sys.path.insert(0, {str(folder)!r}); " for folder in more_path)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {path}{program}"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


EXCHANGES = "sum(m.startswith('ccxt.abstract.') for m in sys.modules)"


def test_mexc_over_http_and_over_a_stream_brings_no_other_exchange_along() -> None:
    found = said(
        "from core.adapters import ccxt_alone as alone; stream = alone.mexc_stream(); "
        "import ccxt.protobuf.mexc; client = alone.mexc(); "
        f"print({EXCHANGES}, issubclass(stream, alone.mexc), client.id, "
        "issubclass(alone.errors.BadSymbol, alone.errors.BaseError))"
    )

    assert found == ["1", "True", "mexc", "True"]


def test_who_imports_ccxt_afterwards_gets_all_of_it_and_the_same_classes() -> None:
    found = said(
        "from core.adapters import ccxt_alone as alone; import ccxt, ccxt.async_support as http, ccxt.pro as stream; "
        "own = alone.mexc_stream(); print(http.mexc is alone.mexc, stream.mexc is own, ccxt.NetworkError is "
        f"alone.errors.NetworkError, {EXCHANGES}); print(ccxt.binance.__name__, http.binance.__name__, "
        f"stream.binance.__name__, {EXCHANGES} > 50, stream.mexc is own, ccxt.__version__ > '4')"
    )

    assert found == ["True", "True", "True", "1", "binance", "binance", "binance", "True", "True", "True"]


def test_a_ccxt_that_is_there_already_is_taken_as_it_is() -> None:
    found = said(
        "import ccxt.async_support; from core.adapters import ccxt_alone as alone; "
        "print(alone.mexc is ccxt.async_support.mexc, alone.errors.BadSymbol is ccxt.BadSymbol)"
    )

    assert found == ["True", "True"]


def test_a_ccxt_laid_out_otherwise_is_imported_as_usual(tmp_path: Path) -> None:
    other = {
        "__init__.py": "from ccxt.base.errors import *",
        "base/__init__.py": "",
        "base/errors.py": "class BaseError(Exception): pass",
        "pro/__init__.py": "",
        "async_support/__init__.py": "from ccxt.async_support.all_of_them import mexc",
        "async_support/all_of_them.py": "from ccxt import BaseError\nclass mexc: error = BaseError",
    }
    for name, text in other.items():
        path = tmp_path / "ccxt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    found = said(
        "from core.adapters import ccxt_alone as alone; "
        "print(alone.mexc.__module__, alone.mexc.error is alone.errors.BaseError)",
        tmp_path,
    )

    assert found == ["ccxt.async_support.all_of_them", "True"]
