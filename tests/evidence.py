"""``make evidence``: what the models know of the real candles, as it is, into docs/evidence.md.

``JULABA_REAL_KLINES`` names a folder of 15m kline CSVs. They are imported into a folder that is thrown away, then
``julaba check learning`` says what it says to everybody; its table and its picture become a part of the page.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.cli import main as julaba
from core.ml.features import FEATURE_SETS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "evidence.md"
PICTURE = ROOT / "docs" / "images" / "evidence.png"
BEGIN, END = "<!-- evidence:begin -->", "<!-- evidence:end -->"
PAIRS = ("LINK/USDT", "ETH/USDT", "SOL/USDT", "AVAX/USDT", "MATIC/USDT")
BESIDE = ("BTC/USDT",)

_HEAD = (
    "model | learned from | judged on | n | won | accuracy (majority) | AUC (95%) | p | shifted p | Brier skill (95%)"
    " | R, better less worse half (95%)"
)


def measured(klines: Path) -> dict[str, Any]:
    """The object of ``julaba check learning`` on the real candles. Raises SystemExit where a command fails."""
    with tempfile.TemporaryDirectory() as folder:
        for pair in (*PAIRS, *BESIDE):
            file = klines / f"{pair.replace('/', '')}-15m.csv.gz"
            _called("candles", "import", str(file), "--data-dir", folder)
        names = ("--pairs", ",".join(PAIRS), "--data-dir", folder)
        found: dict[str, Any] = json.loads(_called("check", "learning", *names, "--png", str(PICTURE), "--json"))
        return found


def _called(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = julaba(arguments)
    if code:
        raise SystemExit(code)
    return out.getvalue()


def markdown(found: dict[str, Any], seconds: float) -> str:
    """What stands between the marks: the counts, the table, the conclusion and the command."""
    signals, candidates = (_share(rate, 0) for rate in found["base_rates"])
    columns = _HEAD.count("|") + 1
    text = [
        f"{', '.join(found['pairs'])} with {', '.join(BESIDE)} beside them, 15m, {found['from'][:10]} to "
        f"{found['to'][:10]}: {found['signals']:,} signals ({signals} won, before costs) and {found['candidates']:,} "
        f"candidates ({candidates} won). `julaba check learning --pairs {','.join(found['pairs'])}`, {seconds:.0f} s.",
        "",
        f"**{found['verdict']}**",
        "",
        f"| {_HEAD} |",
        f"|{' --- |' * columns}",
        *(f"| {' | '.join(_cells(trial))} |" for trial in found["trials"]),
        "",
        f"{found['variants']} rows from {found['trainings']} walk-forwards. \\* stands after Holm's correction at 5% "
        f"over the {found['tested']} rows that could be tested.",
    ]
    return "\n".join(text)


def _cells(trial: dict[str, Any]) -> tuple[str, ...]:
    m = trial["metrics"]
    return (
        f"{trial['features']} {trial['kind']}",
        trial["learned"],
        trial["judged"],
        f"{m['n']:,}",
        _share(m["base_rate"], 1),
        f"{_share(m['accuracy'], 1)} ({_share(m['majority'], 1)})",
        _bounded(m, "auc", ".3f"),
        _number(m["auc_p"], ".3f") + ("\\*" if trial["stands"] else ""),
        _number(m["permutation_p"], ".3f"),
        _bounded(m, "brier_skill", "+.1%"),
        _bounded(m, "r_gain", "+.2f"),
    )


def _bounded(m: dict[str, Any], name: str, form: str) -> str:
    value, low, high = m[name], m[f"{name}_low"], m[f"{name}_high"]
    if value is None or low is None or high is None:
        return _number(value, form)
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _share(value: float | None, digits: int) -> str:
    return _number(value, f".{digits}%")


def rewritten(page: str, text: str) -> str:
    """The page with everything between the marks replaced. Raises ValueError where the marks are not there."""
    found = re.search(f"{BEGIN}.*{END}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no {BEGIN} ... {END} to write between")
    return f"{page[: found.start()]}{BEGIN}\n{text}\n{END}{page[found.end() :]}"


def main() -> int:
    folder = os.environ.get("JULABA_REAL_KLINES")
    if not folder or not Path(folder).is_dir():
        print(
            "JULABA_REAL_KLINES names no folder: set it to one with LINKUSDT-15m.csv.gz and the others", file=sys.stderr
        )
        return 2
    began = time.perf_counter()
    found = measured(Path(folder))
    if {trial["features"] for trial in found["trials"]} != set(FEATURE_SETS):
        raise ValueError("not every feature set has been tried")
    text = markdown(found, time.perf_counter() - began)
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(f"written to {PAGE.relative_to(ROOT)}:\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
