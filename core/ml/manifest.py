"""What is written beside a model: enough to know what it is, where it came from and that its file is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from core.errors import ModelError
from core.ml.training import Kind, TrainedModel

FORMAT = "julaba-model-1"


@dataclass(frozen=True)
class Manifest:
    """A model's paper. ``created`` is ISO UTC, ``trained_until`` the newest outcome learned from (epoch ms).

    ``parent`` is the champion it was compared with, ``line`` the name of the model line that evidence belongs to (its
    first champion's id). ``sources`` counts the rows by source; ``metrics`` holds the evaluations. ``extras`` are the
    files that belong to the model beside its own, by name, with their SHA-256.
    """

    model_id: str
    kind: Kind
    features: tuple[str, ...]
    label: str
    trees: int
    rows: int
    sources: Mapping[str, int]
    base_rate: float
    data_hash: str
    model_sha256: str
    seed: int
    metrics: Mapping[str, Any]
    version: str
    created: str
    trained_until: int
    parent: str | None
    line: str
    extras: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Raises ModelError where it is no manifest, is cut, or of another format."""
        try:
            data = json.loads(content)
            found = data.pop("format")
            if found != FORMAT:
                raise ModelError(f"the manifest has the format {found!r}, this version reads {FORMAT!r}")
            manifest = cls(**data | {"features": tuple(data["features"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError("the manifest cannot be read or a part of it is missing") from error
        if manifest.kind not in get_args(Kind) or not all(isinstance(f, str) for f in manifest.features):
            raise ModelError("the manifest describes a kind of model that this version does not know")
        return manifest


def describe(model: TrainedModel, file_hash: str, **rest: Any) -> Manifest:
    """The manifest of a freshly trained model; ``rest`` are the fields that the model itself does not know."""
    return Manifest(
        model_id=model.model_id,
        kind=model.kind,
        features=model.features,
        trees=model.trees,
        rows=model.rows,
        base_rate=model.base_rate,
        data_hash=model.data_hash,
        model_sha256=file_hash,
        seed=model.seed,
        **rest,
    )
