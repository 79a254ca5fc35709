"""docs/evidence.md holds what was measured, every row of it, and is only rewritten whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import Ml
from core.ml.evaluation import PURGE_MS
from core.ml.features import FEATURE_SETS
from core.services.checks.learning import check_learning
from tests import evidence
from tests.core.services.checks.test_learning import samples


def test_the_page_has_a_row_for_every_variant() -> None:
    page = evidence.PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| v")]

    assert len(rows) == 9 * len(FEATURE_SETS)
    for name in FEATURE_SETS:
        assert sum(row.startswith(f"| {name} ") for row in rows) == 9
    assert f"{len(rows)} variants were tried" in page
    assert evidence.PICTURE.exists()


def test_a_row_tells_each_figure_with_its_interval_and_its_baseline() -> None:
    found = check_learning({"v1": samples(2.0)}, Ml(), PURGE_MS)
    more = {"pairs": ["LINK/USDT"], "from": "2024-01-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"}
    text = evidence.markdown({**found.data(), **more, "verdict": found.verdict}, 3.0)
    m = found.trials[2].metrics
    row = next(line for line in text.splitlines() if line.startswith("| v1 xgb | candidates | candidates |"))

    assert f"| {m.auc:.3f} ({m.auc_low:.3f} to {m.auc_high:.3f}) | {m.auc_p:.3f}\\* |" in row
    assert f"| {m.accuracy:.1%} ({m.majority:.1%}) |" in row
    assert f"**{found.verdict}**" in text


def test_only_what_stands_between_the_marks_is_rewritten() -> None:
    page = f"before\n{evidence.BEGIN}\nold\n{evidence.END}\nafter"

    assert evidence.rewritten(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="to write between"):
        evidence.rewritten("no marks", "new")


def test_without_real_candles_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JULABA_REAL_KLINES", str(tmp_path / "none"))

    assert evidence.main() == 2
    assert "JULABA_REAL_KLINES names no folder" in capsys.readouterr().err
