"""The nearest past signals: like the candidate, of its direction, over before it began."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from core.domain.trading import Direction, Neighbour
from core.errors import ModelError
from core.ml.dataset import Dataset, from_table
from core.ml.neighbours import DISTANCE_WORDS, MOST_SAMPLES, NEAREST, PastSignals, samples_json, summary
from tests.core.ml.planted import table

NEVER = 2**60
LONG = Direction.LONG


def dataset(n: int = 120) -> Dataset:
    return from_table(table(n))


def features(rows: Dataset, row: int) -> dict[str, float]:
    return dict(zip(rows.features, rows.X[row].tolist(), strict=True))


def test_a_past_signal_is_nearest_to_itself_and_keeps_its_outcome() -> None:
    rows = dataset()
    direction = Direction(rows.direction[40])
    nearest, *others = PastSignals.of(rows).nearest(features(rows, 40), direction, NEVER)

    assert (nearest.decided_at, nearest.realized_r, nearest.pair) == (rows.time[40], rows.r[40], "LINK/USDT")
    assert nearest.distance < 0.01
    assert len(others) == NEAREST - 1
    assert [n.distance for n in others] == sorted(n.distance for n in others)
    assert all(n.direction is direction for n in others)


def test_the_distance_is_the_root_of_the_mean_squared_standardised_difference() -> None:
    rows = dataset()
    asked = dict.fromkeys(rows.features, 1.0) | {"entry_hurst": math.nan, "entry_adx": 30.0}
    # A regime that never came up tells nothing apart and is not counted.
    differing = np.nanstd(rows.X, axis=0) > 0
    columns = [i for i, name in enumerate(rows.features) if name != "entry_hurst" and differing[i]]
    values = np.array([asked[rows.features[i]] for i in columns])
    z = (rows.X[:, columns] - values) / np.std(rows.X[:, columns], axis=0)
    of_direction = rows.direction == "LONG"
    wanted = np.sort(np.sqrt(np.square(z).mean(axis=1))[of_direction])[:NEAREST]

    found = PastSignals.of(rows).nearest(asked, Direction.LONG, NEVER)

    assert [n.distance for n in found] == pytest.approx(wanted, abs=2e-3)


def test_signals_that_have_nothing_to_do_with_each_other_are_as_far_apart_as_is_said() -> None:
    rng, rows = np.random.default_rng(2), dataset()
    past = PastSignals.of(replace(rows, X=rng.normal(3, 7, rows.X.shape)))
    squares = [
        n.distance**2
        for asked in rng.normal(3, 7, (60, rows.X.shape[1])).tolist()
        for n in past.nearest(dict(zip(rows.features, asked, strict=True)), LONG, NEVER, 1000)
    ]

    assert math.sqrt(np.mean(squares)) == pytest.approx(math.sqrt(2), abs=0.1)
    assert "1.4 unrelated" in DISTANCE_WORDS


def test_a_neighbour_had_ended_before_the_decision() -> None:
    rows = dataset()
    past = PastSignals.of(rows)
    for at in (int(rows.end_time[3]) - 1, int(rows.end_time[30]), int(rows.time[100])):
        for direction in Direction:
            found = past.nearest(features(rows, 50), direction, at, count=1000)
            ends = dict(zip(rows.time.tolist(), rows.end_time.tolist(), strict=True))
            assert all(ends[n.decided_at] <= at for n in found)
            assert len(found) == int(((rows.end_time <= at) & (rows.direction == direction)).sum())


def test_only_signals_that_were_lived_or_backtested_are_kept() -> None:
    rows = dataset()
    source = rows.source.astype("U20")
    source[:10] = "augmented"
    mixed = replace(rows, source=source, is_signal=np.arange(len(rows)) % 2 == 0)

    assert PastSignals.of(mixed).decided_at.tolist() == rows.time[10:][::2].tolist()


def test_signals_with_too_little_in_common_are_no_neighbours() -> None:
    rows = dataset()
    x = rows.X.copy()
    x[:60, :6] = np.nan  # of ten features that tell anything apart, four are left
    past = PastSignals.of(replace(rows, X=x))

    found = [n for d in Direction for n in past.nearest(features(rows, 5), d, NEVER, count=1000)]

    assert {n.decided_at for n in found} == set(rows.time[60:].tolist())
    assert past.nearest(dict.fromkeys(rows.features, math.nan), Direction.LONG, NEVER) == ()
    assert past.nearest({}, Direction.LONG, NEVER) == ()


def test_of_two_that_are_equally_near_the_newer_comes_first() -> None:
    rows = dataset()
    twins = replace(rows, X=np.repeat(rows.X[::2], 2, axis=0), direction=np.full(len(rows), "LONG"))

    found = PastSignals.of(twins).nearest(features(rows, 0), LONG, NEVER, 2)

    assert [n.decided_at for n in found] == rows.time[[1, 0]].tolist()


def test_no_signals_give_no_neighbours() -> None:
    rows = dataset()
    past = PastSignals.from_json(samples_json(replace(rows, is_signal=np.zeros(len(rows), dtype=bool))))

    assert len(past) == 0
    assert past.nearest(features(rows, 0), Direction.LONG, NEVER) == ()


def test_the_same_signals_give_the_same_bytes_and_come_back_as_they_were() -> None:
    rows = dataset()
    content = samples_json(rows)
    past, read = PastSignals.of(rows), PastSignals.from_json(content)

    assert content == samples_json(dataset())
    assert read.to_json() == content
    for row in (0, 50, 119):
        assert read.nearest(features(rows, row), Direction.LONG, NEVER) == past.nearest(
            features(rows, row), Direction.LONG, NEVER
        )


def test_thousands_of_signals_stay_a_small_file_of_the_newest() -> None:
    rows = from_table(table(MOST_SAMPLES + 500, every=4))
    content = samples_json(rows)

    assert PastSignals.from_json(content).decided_at.tolist() == rows.time[500:].tolist()
    assert len(content) < 400_000


@pytest.mark.parametrize("cut", [0, 1, 40, 400, -1])
def test_a_file_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ModelError):
        PastSignals.from_json(samples_json(dataset(40))[:cut])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("format", "julaba-samples-2"),
        ("features", ["entry_adx"]),
        ("features", None),
        ("r", [1.0]),
        ("r", [None] * 40),
        ("sign", [0] * 40),
        ("pair", [7] * 40),
        ("x", [[1.0, 2.0], [3.0]]),
        ("x", "hello"),
        ("mean", {}),
        ("decided_at", [1e300] * 40),
        ("pairs", 3),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(part: str, value: object) -> None:
    content = json.loads(samples_json(dataset(40))) | {part: value}

    with pytest.raises(ModelError):
        PastSignals.from_json(json.dumps(content).encode())


def test_the_outcomes_are_summed_up_in_words() -> None:
    def ended(r: float) -> Neighbour:
        return Neighbour("LINK/USDT", Direction.LONG, 0, r, 0.1)

    assert summary([ended(r) for r in (2.3, 1.3, -1.0, -1.0, 0.0)]) == (
        "5 nearest past signals: 2 won, mean +0.3R before costs"
    )
    assert summary([ended(-1.0)]) == "1 nearest past signal: 0 won, mean -1.0R before costs"
    assert summary([]) == ""
