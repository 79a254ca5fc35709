"""The gate's bench measures the gate itself, many trials at a time, and says whether a promise is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest

from core.config import Gate
from core.domain.candles import DAY_MS, FloatArray, to_datetime
from core.ml.gate import ScoredPrediction, examine, measure
from tests.bench_gate import page
from tests.bench_gate.cases import Curve, Measured, Row
from tests.bench_gate.lives import approvals, figures, live, run, so_far
from tests.bench_gate.planting import (
    Model,
    Outcomes,
    follower,
    independent,
    noise,
    of_market,
    outcomes_of,
    planted,
    random_walks,
)

HOURS = np.array([1, 3, 9, 20]) * 3_600_000
MODELS: dict[str, Model] = {
    "noise": partial(noise, 0.0, (0.05, 0.3)),
    "noise that lasts": partial(noise, 3.0, (0.05, 0.3)),
    "follower": partial(follower, 30),
    "planted": partial(planted, 0.75, 0.0),
    "nearly always the same": lambda rng, o: np.round(partial(noise, 0.0, (0.05, 0.1))(rng, o), 2),
}


def crowded(seed: int, n: int) -> Outcomes:
    """Outcomes that overlap: several an hour, lasting up to days, so that probabilities tie and blocks are long."""
    rng = np.random.default_rng(seed)
    decided = np.sort(rng.integers(0, n // 12 + 1, n)) * DAY_MS // 4 + rng.integers(0, 3, n) * 900_000
    closed = decided + rng.integers(1, 200, n) * 900_000
    order = np.argsort(closed, kind="stable")
    return Outcomes(decided[order], closed[order], rng.choice([-1.0, 1.0], n), (rng.random(n) < 0.4).astype(np.int64))


@pytest.mark.parametrize("n", [50, 200, 400])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("overlap", [False, True])
def test_many_trials_at_once_have_the_figures_that_the_gate_has_of_each(name: str, n: int, overlap: bool) -> None:
    rng = np.random.default_rng(n)
    outcomes = [crowded(seed, n) if overlap else independent(HOURS, rng, n) for seed in range(6)]
    probability = np.stack([MODELS[name](rng, o) for o in outcomes])
    won, decided, closed = (np.stack([getattr(o, field) for o in outcomes]) for field in ("won", "decided", "closed"))
    won[5] = 0  # one class only

    together = figures(probability, won, decided, closed, 0.002)

    for trial in range(6):
        alone = measure(probability[trial], won[trial], decided[trial], closed[trial], 0.002)
        for field in ("accuracy", "auc", "auc_low", "brier_skill"):
            expected = getattr(alone, field)
            found = getattr(together, field)[trial]
            assert found == pytest.approx(np.nan if expected is None else expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_life_is_approved_at_the_looks_at_which_the_gate_says_ready() -> None:
    """Of twelve lives half are overconfident: their order is right, and their Brier score is not."""
    rng = np.random.default_rng(3)
    outcomes = [independent(HOURS, rng, 400) for _ in range(12)]
    probability = np.stack([planted(0.63, 0.0, rng, o) for o in outcomes])
    odds = probability / (1 - probability)
    odds[6:] **= 3
    probability = odds / (1 + odds)

    found = approvals(outcomes, probability, 7)

    states = [[_examined(o, p, index) for index in range(1, 7)] for o, p in zip(outcomes, probability, strict=True)]
    assert [[bool(a) for a in line[:6]] for line in found.gate] == states
    assert {True, False} == {state for line in states[:6] for state in line}
    assert (found.gate[6:, :6] < found.bound[6:, :6] * found.bare[6:, :6]).any()
    assert found.looks == 6
    assert np.isnan(found.gate[:, 6]).all()


def _examined(outcomes: Outcomes, probability: FloatArray, index: int) -> bool:
    evidence = [
        ScoredPrediction(
            decided_at=to_datetime(int(outcomes.decided[i])) + timedelta(milliseconds=i / 1000),
            closed_at=to_datetime(int(outcomes.closed[i])) + timedelta(milliseconds=i / 1000),
            probability=float(probability[i]),
            outcome=int(outcomes.won[i]),
            source="trade",
            model_id="planted",
            pair="LINK/USDT",
            direction="LONG",
        )
        for i in range(len(outcomes))
    ]
    return examine(evidence, index - 1, Gate(), to_datetime(0)).state == "ready"


def test_what_is_planted_has_the_worth_it_is_said_to_have() -> None:
    rng = np.random.default_rng(4)
    for area in (0.5, 0.58, 0.65):
        found = live(partial(independent, HOURS), partial(planted, area, 0.0), 6, rng, 100)
        assert found.auc[:, 5].mean() == pytest.approx(area, abs=4 * found.auc[:, 5].std() / 10)


def test_a_smoke_run_keeps_the_promise_and_the_bare_rule_breaks_it() -> None:
    """A few trials on a simulated market; 10,000 on a real one are ``make bench-gate``."""
    candidates = outcomes_of(random_walks(np.random.default_rng(1), pairs=2, days=60), True)
    source = partial(of_market, candidates, 1.0)
    with ThreadPool(1) as workers:
        lasting = run(workers, source, MODELS["noise that lasts"], 5, 60, 7)
        skilled = run(workers, partial(independent, HOURS), partial(planted, 0.72, 0.0), 5, 60, 7)

    assert lasting.looks == 5
    assert so_far(lasting.gate)[-1] <= 0.1
    assert so_far(lasting.bare)[-1] > 0.5
    assert skilled.gate[:, 4].mean() > 0.9
    assert (so_far(skilled.gate) >= skilled.gate.mean(axis=0)).all()


def test_the_same_seed_gives_the_same_figures_and_another_seed_others() -> None:
    source = partial(independent, HOURS)
    with ThreadPool(2) as workers:
        first, again, other = (run(workers, source, MODELS["noise"], 2, 70, seed) for seed in (7, 7, 8))

    assert (first.auc == again.auc).all()
    assert not (first.auc == other.auc).any()


def found() -> Measured:
    life = Row(
        "noise, a life of 20 looks",
        "independent",
        1800,
        None,
        (None, 0.02),
        (None, 0.03),
        (None, 1.0),
        "at most 5%",
        True,
    )
    return Measured(
        "60 trials a case",
        (
            life,
            replace(
                life,
                what="noise that lasts 1 day, a life of 20 looks",
                outcomes="all candidates",
                gate=(None, 0.06),
                met=False,
            ),
            replace(
                life, what="noise that lasts 3 days, a life of 20 looks", outcomes="all candidates", gate=(None, 0.01)
            ),
            Row("AUC 0.62", "independent", 300, 300, (0.86, 0.87), (0.86, 0.87), (0.9, 1.0), "at least 75%", True),
        ),
        tuple(Curve(name, (50, 100), (0.0, 0.02), (0.7, 1.0)) for name in ("noise", "noise that lasts 1 day")),
        tuple(Curve(f"AUC 0.{n}", (50, 100), (0.1, 0.5), (0.8, 0.9)) for n in (58, 60, 62, 65)),
    )


def test_the_table_says_which_promise_is_kept_and_which_is_not() -> None:
    lines = page.markdown(found()).splitlines()

    assert lines[0].startswith("60 trials a case.")
    assert lines[4:] == [
        "| noise, a life of 20 looks | independent | to 1800 |  | 2.0% | 3.0% | 100.0% | at most 5%: met |",
        "| noise that lasts 1 day, a life of 20 looks | all candidates | to 1800 |  | 6.0% | 3.0% | 100.0% "
        "| at most 5%: NOT MET |",
        "| noise that lasts 3 days, a life of 20 looks | all candidates | to 1800 |  | 1.0% | 3.0% | 100.0% "
        "| at most 5%: met |",
        "| AUC 0.62 | independent | 300 | 300 | 86.0% / 87.0% | 86.0% / 87.0% | 90.0% / 100.0% | at least 75%: met |",
    ]
    assert "NOT MET" in page.terminal(found())


def test_the_short_table_shows_the_worst_noise_and_not_the_kindest() -> None:
    assert page.short(found()).splitlines()[2:] == [
        "| noise | over a life of 20 looks, independent outcomes | 2.0% | 100.0% |",
        "| noise that lasts 1 day | over a life of 20 looks, overlapping outcomes, the worst of 2 cases | 6.0% "
        "| 100.0% |",
        "| AUC 0.62 | at 300 outcomes | 86.0% | 90.0% |",
    ]


def test_the_picture_is_a_png() -> None:
    assert page.picture(found()).startswith(b"\x89PNG")


@pytest.mark.parametrize("path", [page.PAGE, page.README])
def test_the_pages_have_marks_and_a_table_between_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert len(page.rewritten(text, "")) < len(text) - 500


def test_a_page_without_marks_is_refused() -> None:
    text = f"before {page.BEGIN} old {page.END} after"

    assert page.rewritten(text, "new") == f"before {page.BEGIN}\nnew\n{page.END} after"
    with pytest.raises(ValueError, match="to write between"):
        page.rewritten("no marks", "new")
