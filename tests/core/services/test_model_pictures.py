"""A saved model's evaluation as pictures: drawn from what the manifest has, and only from that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.errors import UsageError
from core.ml.manifest import Manifest
from core.services.model_pictures import PictureKind, model_picture

ROWS = {
    "base_rate": 0.4,
    "calibration": [
        {"low": 0.3, "high": 0.4, "n": 30, "predicted": 0.35, "won": 0.3, "won_low": 0.2, "won_high": 0.45},
        {"low": 0.4, "high": 0.5, "n": 20, "predicted": 0.44, "won": 0.5, "won_low": None, "won_high": None},
    ],
    "importance": [
        {"feature": "entry_adx", "use": 0.09, "worth": -0.0003, "worth_low": -0.009, "worth_high": 0.008},
        {"feature": "entry_rsi", "use": 0.04, "worth": 0.002, "worth_low": None, "worth_high": None},
    ],
}


class Shelf:
    def __init__(self, figures: dict[str, Any]) -> None:
        self.figures = figures

    def manifest(self, model_id: str) -> Manifest:
        return Manifest(
            model_id, "xgb", ("entry_adx", "entry_rsi"), "gross", 3, 50, {}, 0.4, "d", "m", 7,
            {"walk_forward": self.figures}, "0.1", "2026-11-21T12:00:00+00:00", 0, None, "main",
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["calibration", "importance"])
async def test_each_picture_is_drawn_from_the_manifest(kind: PictureKind) -> None:
    picture = await model_picture(Shelf(ROWS), "xgb-1", kind, asyncio.to_thread)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


@pytest.mark.parametrize("figures", [{}, {"calibration": [], "importance": []}])
async def test_a_model_that_was_saved_without_them_says_so(figures: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="without its importance"):
        await model_picture(Shelf(figures), "xgb-1", "importance", asyncio.to_thread)
