"""A saved model's evaluation as pictures, from its manifest: whether it means what it says, and what it looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from core.errors import UsageError
from core.ml.importance import Importance
from core.ml.manifest import Manifest
from core.ml.measures import Bucket
from core.services.pictures import Draw

PictureKind = Literal["calibration", "importance"]


class Manifests(Protocol):
    def manifest(self, model_id: str) -> Manifest:
        """Raises ModelError."""
        ...


async def model_picture(manifests: Manifests, model_id: str, kind: PictureKind, draw: Draw) -> bytes:
    """A PNG of the model's walk-forward. Raises ModelError, and UsageError for one that was not evaluated so."""
    from core.reports.model_charts import calibration_chart, importance_chart

    manifest = await asyncio.to_thread(manifests.manifest, model_id)
    figures: Mapping[str, Any] = manifest.metrics.get("walk_forward") or {}
    rows = figures.get(kind) or ()
    if not rows:
        raise UsageError(f"{model_id} was saved without its {kind}: too few signals, or by an older version")
    if kind == "calibration":
        buckets = tuple(Bucket(**row) for row in rows)
        return await draw(calibration_chart, buckets, f"{model_id} on unseen signals", figures.get("base_rate"))
    return await draw(importance_chart, tuple(Importance(**row) for row in rows), f"{model_id}: what it looks at")
