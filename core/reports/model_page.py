"""A model on one HTML page: what it is worth on rows it had not seen, in words, figures, pictures and tables.

Everything lies inside the file and nothing is loaded; it needs no script. The style is that of the backtest's page.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.config import Ml
from core.domain.candles import iso
from core.ml.dataset import Dataset
from core.ml.evaluation import Evaluation
from core.ml.manifest import Manifest
from core.ml.measures import Metrics
from core.ml.on_off import OnOff, on_off
from core.ml.slices import GROUPS, Slice
from core.reports.model_charts import calibration_chart, importance_chart, on_off_chart, slices_chart
from core.reports.page_parts import asset, filled, policy, tile_html
from core.reports.page_tiles import Tile

REPORT = "report.html"
"""The page's name beside its model."""

_GROUP_WORDS = dict(zip(GROUPS, ("Pair", "Regime", "Part of the day (UTC)", "Hour (UTC)", "Year"), strict=True))
Cell = tuple[str, str]
"""A text and its tone: good, bad or empty."""


@dataclass(frozen=True, eq=False)
class ModelStory:
    """What the page tells: a model's manifest, the rows it was taught by, and both evaluations of its recipe.

    ``sentence`` is the headline. ``tried`` are sentences on what else was looked at, such as a search for settings.
    """

    manifest: Manifest
    dataset: Dataset
    walk_forward: Evaluation
    random_split: Evaluation
    settings: Ml
    sentence: str
    tried: tuple[str, ...] = ()


def model_page(story: ModelStory) -> str:
    """The whole file as text; the same story gives the same text."""
    manifest, found = story.manifest, story.walk_forward
    switched = on_off(story.dataset, found, story.settings)
    style = asset("page.css") + asset("model.css")
    rows = story.dataset
    parts = {
        "policy": policy(style),
        "style": style,
        "title": html.escape(f"Model {manifest.model_id}"),
        "range": f"{_day(int(rows.time[0]))} to {_day(int(rows.end_time.max()))}",
        "headline": html.escape(story.sentence),
        "recipe": html.escape(_recipe(story)),
        "notes": "".join(f"<p>{html.escape(note)}</p>" for note in _notes(story)),
        "tiles": "".join(tile_html(tile) for tile in _tiles(found.metrics)),
        "figures": _figures(story),
        "pictures": "".join(_pictures(story, switched)),
        "switched": _switched(switched),
        "slices_note": html.escape(found.slices.note if found.slices else "No signal was predicted."),
        "slices": _slices(found),
        "tried": "".join(f"<p>{html.escape(sentence)}</p>" for sentence in _tried(story)),
        "facts": "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in _facts(story)),
        "features": html.escape(", ".join(manifest.features)),
    }
    return filled(asset("model.html"), parts)


def _recipe(story: ModelStory) -> str:
    kinds = {"xgb": "boosted trees (XGBoost)", "forest": "random forest", "logistic": "logistic regression"}
    manifest = story.manifest
    return f"{kinds[manifest.kind]} · {len(manifest.features)} features · {manifest.rows:,} samples"


def _notes(story: ModelStory) -> Iterable[str]:
    m = story.walk_forward.metrics
    if not m.n:
        yield "Too few samples for a walk-forward: nothing can be said of this model yet."
        return
    if m.auc is not None and m.auc_low is None:
        yield "The unseen signals lie on too few separate days for an interval."
    if m.over_majority is not None and m.over_majority <= 0:
        yield (
            f"It is right in {_percent(m.accuracy)} of the cases; always saying the commoner outcome is right in "
            f"{_percent(m.majority)}. An accuracy above 50% alone says nothing."
        )


def _tiles(m: Metrics) -> tuple[Tile, ...]:
    auc_tone = _tone(None if m.auc_low is None else m.auc_low - 0.5, None if m.auc_high is None else m.auc_high - 0.5)
    return (
        Tile("AUC", _number(m.auc, ".2f"), _range(m.auc_low, m.auc_high, ".2f", "guessing is 0.50; "), auc_tone),
        Tile(
            "Accuracy",
            _percent(m.accuracy),
            f"always the commoner outcome: {_percent(m.majority)}",
            _tone(m.over_majority_low, m.over_majority_high),
        ),
        Tile(
            "Brier skill",
            _number(m.brier_skill, "+.1%"),
            _range(m.brier_skill_low, m.brier_skill_high, "+.1%"),
            _tone(m.brier_skill_low, m.brier_skill_high),
        ),
        Tile(
            "Better half's gain",
            _number(m.r_gain, "+.2f", " R"),
            _range(m.r_gain_low, m.r_gain_high, "+.2f"),
            _tone(m.r_gain_low, m.r_gain_high),
        ),
        Tile("Unseen signals", f"{m.n:,}", f"{_percent(m.base_rate)} won, it said {_percent(m.predicted)}"),
        Tile("Shifted p", _number(m.permutation_p, ".3f"), "small: hardly by chance"),
    )


def _figures(story: ModelStory) -> str:
    walked, split = story.walk_forward, story.random_split
    columns = [("walk-forward, signals", walked.metrics, "")]
    if walked.candidates is not None:
        columns.append(("walk-forward, all candidates (a hint)", walked.candidates, "hint-column"))
    columns.append(("random split (optimistic)", split.metrics, "hint-column"))
    rows = [[(name, "text"), *((text(m), kind) for _, m, kind in columns)] for name, text in _FIGURES]
    return _table([("", "text"), *((title, kind) for title, _, kind in columns)], rows)


_FIGURES: tuple[tuple[str, Callable[[Metrics], str]], ...] = (
    ("unseen rows", lambda m: f"{m.n:,}"),
    ("won", lambda m: _percent(m.base_rate)),
    ("it said, on average", lambda m: _percent(m.predicted)),
    ("accuracy", lambda m: _bounded(m.accuracy, m.accuracy_low, m.accuracy_high, ".1%")),
    ("majority", lambda m: _percent(m.majority)),
    (
        "accuracy less majority",
        lambda m: _bounded(m.over_majority, m.over_majority_low, m.over_majority_high, "+.1%"),
    ),
    ("AUC", lambda m: _bounded(m.auc, m.auc_low, m.auc_high, ".3f")),
    ("p that AUC is above 0.50", lambda m: _number(m.auc_p, ".3f")),
    ("shifted p", lambda m: _number(m.permutation_p, ".3f")),
    ("Brier score", lambda m: _number(m.brier, ".4f")),
    ("Brier skill", lambda m: _bounded(m.brier_skill, m.brier_skill_low, m.brier_skill_high, "+.1%")),
    ("R of the better half", lambda m: _number(m.better_r, "+.2f")),
    ("R of the worse half", lambda m: _number(m.worse_r, "+.2f")),
    ("difference", lambda m: _bounded(m.r_gain, m.r_gain_low, m.r_gain_high, "+.2f")),
)


def _pictures(story: ModelStory, switched: OnOff | None) -> Iterable[str]:
    found, name = story.walk_forward, story.manifest.model_id
    m = found.metrics
    if m.calibration:
        said = found.probability[story.dataset.is_signal[found.rows]]
        picture = calibration_chart(m.calibration, "Does it mean what it says?", m.base_rate, said)
        buckets = "; ".join(
            f"said {_percent(b.predicted)}: {_bounded(b.won, b.won_low, b.won_high, '.0%')} of {b.n} won"
            for b in m.calibration
        )
        yield _figure(picture, f"Calibration of {name} on unseen signals. {buckets}.")
    if switched is not None:
        yield _figure(
            on_off_chart(switched, "Model on and model off"),
            "Running sum of R over the unseen signals, with every one taken and with those the model would take.",
        )
    if found.importance:
        first = ", ".join(each.feature for each in found.importance[:3])
        yield _figure(
            importance_chart(found.importance, "What it looks at"),
            f"Mean absolute Shapley share on unseen rows, and what each feature is worth there. Most used: {first}.",
        )
    if found.slices is not None:
        yield _figure(slices_chart(found.slices, "AUC by slice"), "The same figures as in the tables below.")


def _figure(png: bytes, words: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(words)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _switched(found: OnOff | None) -> str:
    if found is None:
        return "<p>No signal was predicted.</p>"
    unit = "net R" if found.net else "gross R"
    heads = ("", "taken", unit, "each", "deepest fall", "gain each (95%)")
    rows = [
        [
            (f"{'off' if rule.name == 'off' else 'on'}: {rule.words}", "text"),
            (f"{rule.n:,}", ""),
            (_number(rule.total, "+.1f"), ""),
            (_number(rule.mean, "+.2f"), ""),
            (_number(rule.drawdown, ".1f"), ""),
            (_bounded(rule.gain, rule.gain_low, rule.gain_high, "+.2f"), _tone(rule.gain_low, rule.gain_high)),
        ]
        for rule in found.rules
    ]
    return _table([(head, "text" if not head else "") for head in heads], rows)


def _slices(found: Evaluation) -> str:
    if found.slices is None:
        return ""
    text = []
    heads = ("n", "won", "AUC (95%)", "Brier skill", "R better half", "R worse half")
    for group, words in _GROUP_WORDS.items():
        table = _table([(words, "text"), *((h, "") for h in heads)], [_slice(s) for s in found.slices.of(group)])
        scroll = f'<div class="scroll" role="region" aria-label="{words}" tabindex="0">{table}</div>'
        text.append(f"<details><summary>{words}</summary>{scroll}</details>" if group == "hour" else scroll)
    return "".join(text)


def _slice(s: Slice) -> list[Cell]:
    return [
        (s.name.replace("_", " "), "text"),
        (f"{s.n:,}", ""),
        (_percent(s.base_rate, 0), ""),
        (_bounded(s.auc, s.auc_low, s.auc_high, ".2f"), ""),
        (_number(s.brier_skill, "+.1%"), ""),
        (_number(s.better_r, "+.2f"), ""),
        (_number(s.worse_r, "+.2f"), ""),
    ]


def _tried(story: ModelStory) -> Iterable[str]:
    settings, manifest = story.settings, story.manifest
    yield (
        f"One recipe was judged, the one that made this model: {manifest.kind}, features {settings.features}, label "
        f"{manifest.label}, half-life {settings.half_life_days:g} days, seed {manifest.seed}, "
        f"{'with' if settings.augment else 'without'} augmented copies (of training rows alone)."
    )
    if settings.tune_trials:
        yield (
            f"Its settings were searched for in {settings.tune_trials} trials inside each slice's own past, so that no "
            "unseen row has taken part in the choice."
        )
    else:
        yield "Its settings are fixed ones; nothing was searched for."
    yield from story.tried
    yield "How every other kind and feature set does on the same candles: julaba check learning."


def _facts(story: ModelStory) -> Iterable[tuple[str, str]]:
    m = story.manifest
    yield "model", m.model_id
    yield "compared with (its parent)", m.parent or "none: the first of its line"
    yield "line", m.line
    yield "samples by source", ", ".join(f"{name} {count:,}" for name, count in sorted(m.sources.items()))
    signals = int(story.dataset.is_signal.sum())
    yield "signals among them", f"{signals:,} of {len(story.dataset):,}"
    yield "won among them, weighted", _percent(m.base_rate)
    yield "newest outcome learned from", iso(m.trained_until)
    yield "boosting rounds", f"{m.trees}" if m.kind != "logistic" else "none"
    yield "seed", str(m.seed)
    yield "hash of the data", m.data_hash
    yield "hash of the model's file", m.model_sha256
    yield "made by version", m.version


# -- parts --


def _table(heads: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f"<th{_class(kind)} scope='col'>{html.escape(text)}</th>" for text, kind in heads)
    body = "".join(f"<tr>{''.join(_cell(at, *cell) for at, cell in enumerate(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(at: int, text: str, kind: str) -> str:
    if at == 0:
        return f"<th{_class(kind)} scope='row'>{html.escape(text)}</th>"
    return f"<td{_class(kind)}>{html.escape(text)}</td>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _tone(low: float | None, high: float | None) -> str:
    """Good or bad only where the whole interval lies on one side of 0."""
    if low is None or high is None:
        return ""
    return "good" if low > 0 else "bad" if high < 0 else ""


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}".replace("-", "−") + unit


def _percent(value: float | None, digits: int = 1) -> str:
    return _number(value, f".{digits}%")


def _bounded(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None or low is None or high is None:
        return _number(value, form)
    return f"{_number(value, form)} ({_number(low, form)} to {_number(high, form)})"


def _range(low: float | None, high: float | None, form: str, before: str = "") -> str:
    if low is None or high is None:
        return f"{before}no interval"
    return f"{before}95%: {_number(low, form)} to {_number(high, form)}"


def _day(ms: int) -> str:
    return iso(ms)[:10]
