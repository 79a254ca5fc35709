"""Imports point one way, as docs and design say; time comes from a clock; nothing pure is async."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("domain", "engine", "ml", "reports", "services")
SOURCES = sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "julaba_tg").rglob("*.py")])


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "core" and len(parts) > 2 else ""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_core_knows_nothing_of_telegram(path: Path) -> None:
    if name(path).startswith("core/"):
        assert not {i for i in imports(path) if i.split(".")[0] in {"telegram", "julaba_tg"}}


@pytest.mark.parametrize("path", [p for p in SOURCES if layer(p) in LAYERS], ids=name)
def test_layers_import_only_what_lies_below(path: Path) -> None:
    above = LAYERS[LAYERS.index(layer(path)) + 1 :]
    forbidden = {f"core.{up}" for up in (*above, "adapters", "bootstrap", "cli")}
    found = {".".join(i.split(".")[:2]) for i in imports(path)}
    assert not found & forbidden


@pytest.mark.parametrize("path", [p for p in SOURCES if layer(p) == "adapters"], ids=name)
def test_adapters_do_not_import_services(path: Path) -> None:
    allowed = {"core.domain", "core.ports", "core.errors", "core.config", "core.adapters", "core.engine", "core.ml"}
    found = {".".join(i.split(".")[:2]) for i in imports(path) if i.startswith("core.")}
    assert found <= allowed


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_bootstrap_names_adapters(path: Path) -> None:
    if layer(path) != "adapters" and path.name != "bootstrap.py" and "phone" not in path.parts:
        assert not {i for i in imports(path) if i.startswith("core.adapters")}


@pytest.mark.parametrize("path", [p for p in SOURCES if layer(p) in LAYERS[:-1]], ids=name)
def test_domain_engine_ml_and_reports_are_sync(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("path", [p for p in SOURCES if layer(p) in (*LAYERS, "")], ids=name)
def test_nobody_but_a_clock_asks_the_computer_for_the_time(path: Path) -> None:
    calls = {
        f"{ast.unparse(n.func)}"
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert not calls & {"datetime.now", "datetime.utcnow", "time.time", "date.today"}


def test_no_import_leads_back_to_where_it_began() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    left = {module: (imports(path) & modules.keys()) - {module} for module, path in modules.items()}
    while free := {module for module, needs in left.items() if not needs}:
        left = {module: needs - free for module, needs in left.items() if module not in free}
    assert not left, "these files import each other, or files that do"
