"""MEXC's side of ccxt without the hundred other exchanges that importing ccxt would bring along.

``import ccxt`` runs a list of every exchange, twice: some 70 MB and most of a second. Here the packages are there with
their places and their errors, but their lists are run only when somebody asks them for a name they do not have yet.
So whoever imports ccxt as usual gets all of it, and where a version of ccxt is laid out otherwise, nothing is saved
and nothing breaks.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")


def mexc_stream() -> Any:
    """ccxt's MEXC over WebSocket, ``ccxt.pro.mexc``: a class."""
    return _class("ccxt.pro")


def _class(package: str) -> Any:
    try:
        found = import_module(f"{package}.mexc").mexc
    except (ImportError, AttributeError):
        return import_module(package).mexc  # laid out otherwise: the whole package knows
    vars(sys.modules[package])["mexc"] = found  # the package's list would have put the class over the module
    return found


def _prepare() -> None:
    """Puts the unfilled packages where ``import`` looks for them."""
    for name in _PACKAGES:
        package = _unfilled(name)
        sys.modules[name] = package
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, package)
    try:
        known = vars(import_module("ccxt.base.errors")) | {"Exchange": import_module("ccxt.base.exchange").Exchange}
    except (ImportError, AttributeError):
        return
    # Parts of ccxt take these from the top of it; for any other name it would be filled.
    vars(sys.modules["ccxt"]).update({name: known[name] for name in known if isinstance(known[name], type)})


def _unfilled(name: str) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"there is no {name}", name=name)
    loader, package = spec.loader, module_from_spec(spec)

    def fill(wanted: str) -> Any:
        if wanted.startswith("__") and wanted not in ("__all__", "__version__"):  # what the import system looks for
            raise AttributeError(wanted)
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, wanted)

    package.__getattr__ = fill  # type: ignore[method-assign]  # PEP 562
    return package


if "ccxt" not in sys.modules:
    _prepare()
mexc: Any = _class("ccxt.async_support")
"""ccxt's MEXC over HTTP: a class."""

errors: Any = import_module("ccxt.base.errors")
"""The module of what ccxt raises."""

__all__ = ["errors", "mexc", "mexc_stream"]
