"""A model's page: one file that loads nothing, says what is known in words, and never claims more than the figures."""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.config import Ml
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import random_split, walk_forward
from core.ml.manifest import describe
from core.ml.training import train
from core.reports.model_page import ModelStory, model_page
from tests.core.ml.planted import table


@cache
def story(n: int = 300, effect: float = 0.0, *, candidates: bool = False) -> ModelStory:
    rows: Dataset = from_table(table(n, effect=effect))
    if candidates:
        rows = replace(rows, is_signal=np.arange(n) % 3 == 0)
    settings = Ml(features="v1")
    model = train(rows, settings, int(rows.end_time.max()))
    manifest = describe(
        model,
        hashlib.sha256(model.payload).hexdigest(),
        label="gross",
        sources=rows.counts(),
        metrics={},
        version="0.1.0",
        created="2024-09-01T00:00:00Z",
        trained_until=int(rows.end_time.max()),
        parent="xgb-v1-00000000",
        line="xgb-v1-11111111",
    )
    walked = walk_forward(rows, settings, looking=True)
    return ModelStory(manifest, rows, walked, random_split(rows, settings), settings, "Nothing <can> be told yet")


shown = cache(model_page)
"""Drawing four pictures takes half a second: one page is looked at by many tests."""


def words(text: str) -> str:
    """What a reader sees: without style, tags and pictures."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def test_nothing_is_loaded_and_nobody_is_named() -> None:
    text = shown(story())

    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "http://" not in text
    assert "https://" not in text
    assert text.count('src="data:image/png;base64,') == 4


def test_the_headline_the_figures_and_their_baselines_are_there() -> None:
    found = story()
    seen = words(shown(found))
    m = found.walk_forward.metrics
    assert m.auc is not None
    assert m.auc_low is not None
    assert m.accuracy is not None
    assert m.majority is not None

    assert "Nothing <can> be told yet" in seen
    assert f"AUC {m.auc:.3f} ({m.auc_low:.3f} to" in seen
    assert f"Accuracy {m.accuracy:.1%} always the commoner outcome: {m.majority:.1%}" in seen
    assert "random split (optimistic)" in seen


def test_where_the_model_comes_from_is_told() -> None:
    found = story()
    seen = words(shown(found))

    for fact in (
        f"model {found.manifest.model_id}",
        "compared with (its parent) xgb-v1-00000000",
        "line xgb-v1-11111111",
        "samples by source backtest 300",
        f"hash of the data {found.manifest.data_hash}",
        "seed 7",
        *found.manifest.features,
    ):
        assert fact in seen


def test_a_figure_is_good_or_bad_only_where_its_whole_interval_is() -> None:
    noise, planted = shown(story()), shown(story(effect=2.0))

    assert 'class="good"' not in noise
    assert '<dt>AUC</dt><dd class="good">' in planted


def test_every_slice_is_in_a_table_with_the_note_on_how_many() -> None:
    found = story().walk_forward.slices
    assert found is not None
    text = shown(story())

    assert html.escape(found.note) in text
    for one in found.slices:
        name = one.name.replace("_", " ")
        assert f"scope='row'>{name}</th><td>{one.n}</td>" in text


def test_candidates_have_a_column_of_their_own_that_is_called_a_hint() -> None:
    assert "walk-forward, all candidates (a hint)" in words(shown(story(candidates=True)))
    assert "candidates (a hint)" not in words(shown(story()))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Ml(features="v1"), "Its settings are fixed ones; nothing was searched for."),
        (Ml(features="v1", tune_trials=20), "searched for in 20 trials inside each slice's own past"),
        (Ml(features="v1", augment=True), "with augmented copies (of training rows alone)"),
        (Ml(features="v1"), "Two others were looked at."),
    ],
)
def test_what_was_tried_is_said(settings: Ml, said: str) -> None:
    other = replace(story(), settings=settings, tried=("Two others were looked at.",))

    assert said in words(model_page(other))


def test_too_few_days_are_told_and_no_interval_is_made_up() -> None:
    found = story()
    few = replace(found.walk_forward, metrics=replace(found.walk_forward.metrics, auc_low=None, auc_high=None))
    seen = words(model_page(replace(found, walk_forward=few)))

    assert "The unseen signals lie on too few separate days for an interval." in seen
    assert "guessing is 0.50; no interval" in seen


def test_a_model_that_was_never_evaluated_has_a_page_too() -> None:
    found = story()
    none = found.dataset.take(np.arange(10))
    rows = replace(none, y=np.arange(10) % 2)
    bare = replace(
        found, walk_forward=walk_forward(rows, found.settings), random_split=random_split(rows, found.settings)
    )
    text = model_page(bare)

    assert "Too few samples for a walk-forward" in words(text)
    assert "data:image/png" not in text


def test_the_same_story_gives_the_same_page() -> None:
    assert model_page(story(120)) == model_page(story(120))
