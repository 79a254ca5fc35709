"""Training as a use case: from samples to a saved model, an honest evaluation, and perhaps a new champion."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from core import __version__
from core.config import Ml
from core.domain.candles import Timeframe, iso, to_ms
from core.errors import ModelError
from core.ml.augmentation import SOURCE as COPIES
from core.ml.baseline import BASELINE, AgainstBaseline, against_baseline
from core.ml.challenge import Comparison, compare
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import Evaluation, random_split, walk_forward
from core.ml.manifest import Manifest, describe
from core.ml.neighbours import SAMPLES, samples_json
from core.ml.prediction import Champion
from core.ml.sizing_model import SIZING, SizingFigures, SizingModel, train_sizing
from core.ml.training import TrainedModel, train
from core.reports.model_page import REPORT, ModelStory, model_page
from core.services.views import Progress

if TYPE_CHECKING:
    import pandas as pd


class Models(Protocol):
    """Where models are kept; ``core.adapters.model_files.ModelFiles`` is the real one. All raise ModelError."""

    def save(self, payload: bytes, manifest: Manifest, extras: Mapping[str, bytes] | None = None) -> None: ...
    def beside(self, model_id: str, name: str) -> bytes | None: ...
    def promote(self, model_id: str) -> None: ...
    def champion_id(self) -> str | None: ...
    def champion(self) -> Champion | None: ...
    def stamp(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class TrainingReport:
    """How a training ended. ``champion``: whether ``model_id`` is the champion now; ``takeover`` says why (not).

    ``comparison`` is with the champion there was before, ``baseline`` with the logistic; ``sizing`` is None where
    too few profits are known. ``tuned`` are the settings that a search has found.
    """

    model_id: str
    champion: bool
    rows: int
    sources: Mapping[str, int]
    walk_forward: Evaluation
    random_split: Evaluation
    sentence: str
    takeover: str
    comparison: Comparison
    baseline: AgainstBaseline
    sizing: SizingFigures | None
    tuned: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """What ``julaba train --json`` prints: ``n`` counts the samples, the other figures are walk-forward."""
        figures = self.walk_forward.metrics
        return {
            "model_id": self.model_id,
            "champion": self.champion,
            "n": self.rows,
            "evaluated": figures.n,
            "accuracy": figures.accuracy,
            "majority": figures.majority,
            "auc": figures.auc,
            "auc_low": figures.auc_low,
            "auc_high": figures.auc_high,
            "brier": figures.brier,
            "brier_skill": figures.brier_skill,
            "sources": dict(self.sources),
            "sentence": self.sentence,
            "takeover": self.takeover,
            "comparison": self.comparison.to_json(),
            "baseline": self.baseline.to_json(),
            "sizing": sizing_json(self.sizing),
            "tuned": dict(self.tuned),
            "walk_forward": self.walk_forward.to_json(),
            "random_split": self.random_split.to_json(),
        }

    @property
    def metrics(self) -> dict[str, float | None]:
        """The walk-forward figures that a card shows."""
        figures = self.walk_forward.metrics
        names = ("n", "accuracy", "majority", "auc", "auc_low", "auc_high", "brier", "brier_skill", "permutation_p")
        return {name: getattr(figures, name) for name in names}


def train_from_table(
    data: pd.DataFrame | Dataset,
    settings: Ml,
    models: Models,
    now: datetime,
    *,
    timeframe: Timeframe | None = None,
    max_bars: int = 100,
    promote: bool = True,
    page: bool = True,
    progress: Progress | None = None,
) -> TrainingReport:
    """Trains on the rows, evaluates the same recipe honestly, saves the model, and decides on the takeover.

    With ``promote`` the first model becomes champion, and so does one in the place of a champion whose files are
    damaged; a later one only where it is clearly better on rows the champion has not seen. Without it the caller
    decides by the report's ``comparison``. ``page``: draw the model's page too, and keep it beside the model. Takes
    seconds of CPU: run it in a Worker. Raises DataError for a bad table and ModelError for data that cannot teach; the
    champion is then untouched.
    """
    frame = timeframe or Timeframe.parse("15m")
    dataset = data if isinstance(data, Dataset) else from_table(data, frame, settings.label, settings.features)
    purge_ms = max_bars * frame.ms
    tell = progress or _silent
    tell(f"training on {len(dataset)} samples", 0.02)
    model = train(dataset, settings, to_ms(now), progress=_share(tell, 0.02, 0.15))
    walked = walk_forward(dataset, settings, purge_ms=purge_ms, looking=True, progress=_share(tell, 0.15, 0.70))
    tell("random split, for comparison", 0.70)
    split = random_split(dataset, settings)
    tell("the logistic, for comparison", 0.80)
    plain = settings.model_copy(update={"tune_trials": 0, "augment": False})
    baseline = walk_forward(dataset, plain, BASELINE, purge_ms=purge_ms)
    sizing = train_sizing(dataset, settings, to_ms(now), purge_ms=purge_ms, progress=_share(tell, 0.85, 0.92))
    trained = Trained(
        model, dataset, walked, split, settings, against_baseline(dataset, model.kind, walked, baseline), sizing
    )
    champion, damage = _current(models)
    found = compare(champion, model.model_id, dataset, walked, label=settings.label, purge_ms=purge_ms)
    manifest = describe(
        model,
        hashlib.sha256(model.payload).hexdigest(),
        label=settings.label,
        sources=trained.sources,
        metrics={**trained.metrics, "challenge": found.to_json()},
        version=__version__,
        created=iso(to_ms(now)),
        trained_until=int(dataset.end_time.max()),
        parent=_parent(champion, model.model_id),
        line=champion.manifest.line if champion else model.model_id,
    )
    sentence = plain_words(len(dataset), walked)
    extras = _files_beside(trained)
    if page:
        tell("the model's page", 0.92)
        extras[REPORT] = _page(trained, manifest, sentence)
    manifest = replace(manifest, extras={name: hashlib.sha256(content).hexdigest() for name, content in extras.items()})
    tell("saving", 0.95)
    models.save(model.payload, manifest, extras)
    takes_over = found.better and promote
    if takes_over:
        models.promote(model.model_id)
    why = f"it takes over: {found.sentence}" if takes_over and champion else found.sentence
    if damage:
        why = f"{damage}; {'this one takes its place' if takes_over else why}"
    return TrainingReport(
        model_id=model.model_id,
        champion=takes_over or found.same,
        rows=len(dataset),
        sources=trained.sources,
        walk_forward=walked,
        random_split=split,
        sentence=sentence,
        takeover=why,
        comparison=found,
        baseline=trained.baseline,
        sizing=sizing.figures if sizing else None,
        tuned=model.tuned,
    )


@dataclass(frozen=True)
class Trained:
    """What a training has found, for those who write files beside the model."""

    model: TrainedModel
    dataset: Dataset
    walk_forward: Evaluation
    random_split: Evaluation
    settings: Ml
    baseline: AgainstBaseline
    sizing: SizingModel | None

    @property
    def sources(self) -> dict[str, int]:
        """How many samples of each source were learned from; noisy copies are a source of their own."""
        copies = {COPIES: self.model.copies} if self.model.copies else {}
        return {**self.dataset.counts(), **copies}

    @property
    def metrics(self) -> dict[str, object]:
        """All figures, for the manifest."""
        return {
            "walk_forward": self.walk_forward.to_json(),
            "random_split": self.random_split.to_json(),
            "baseline": self.baseline.to_json(),
            "sizing": sizing_json(self.sizing.figures if self.sizing else None),
            "tuned": dict(self.model.tuned),
        }


def sizing_json(figures: SizingFigures | None) -> dict[str, object] | None:
    """The size model's figures with their sentence."""
    return None if figures is None else {**asdict(figures), "counts": figures.counts, "sentence": figures.sentence}


def _files_beside(trained: Trained) -> dict[str, bytes]:
    """The files that belong to a model beside its own, by name; a line for each. The same training, the same bytes."""
    files: dict[str, bytes] = {}
    files[SAMPLES] = samples_json(trained.dataset)
    if trained.sizing:
        files[SIZING] = trained.sizing.to_json()
    return files


def _page(trained: Trained, manifest: Manifest, sentence: str) -> bytes:
    story = ModelStory(
        manifest,
        trained.dataset,
        trained.walk_forward,
        trained.random_split,
        trained.settings,
        sentence,
        tried=(f"Beside the baseline: {trained.baseline.sentence}.",),
    )
    return model_page(story).encode()


def _parent(champion: Champion | None, model_id: str) -> str | None:
    """The champion it is compared with; the champion made again keeps its own."""
    if champion is None:
        return None
    return champion.manifest.parent if champion.model_id == model_id else champion.model_id


def plain_words(rows: int, evaluation: Evaluation) -> str:
    """How many samples there are and whether the model knows anything, in one sentence."""
    found = evaluation.metrics
    start = f"{rows} samples"
    if found.auc is None:
        return f"{start}: too few to tell whether the model knows anything"
    if found.auc_low is None or found.auc_high is None:
        return f"{start}, AUC {found.auc:.2f} on {found.n} unseen: too few days to tell it from guessing"
    interval = f"({found.auc_low:.2f}-{found.auc_high:.2f})"
    return f"{start}, AUC {found.auc:.2f} {interval} on {found.n} unseen: {_verdict(evaluation)}"


def _verdict(evaluation: Evaluation) -> str:
    found = evaluation.metrics
    low, high = found.auc_low or 0.0, found.auc_high or 1.0
    if high < 0.5:
        return "it does worse than guessing"
    if low <= 0.5:
        return "it cannot be told from guessing"
    if (found.brier_skill or 0.0) > 0:
        return "it is better than guessing, and its probabilities beat the base rate"
    return "it orders signals better than guessing, but its probabilities do not beat the base rate"


def _current(models: Models) -> tuple[Champion | None, str]:
    """The champion; where its files are damaged, none and a sentence, so that training can mend it."""
    try:
        return models.champion(), ""
    except ModelError as error:
        what = str(error).partition("; ")[0]  # what to do about it has just been done
        return None, f"the former champion could not be read ({what})"


def _share(tell: Progress, first: float, last: float) -> Progress:
    """Progress of one part of the work as progress of the whole."""
    return lambda text, done: tell(text, first + (last - first) * done)


def _silent(text: str, fraction: float) -> None:
    pass
