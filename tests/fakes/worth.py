"""What the layers and Gemini were worth to a fake desk: planted signals through the real computation."""

from __future__ import annotations

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS
from core.ml.lived import lived
from core.ml.scoreboard import scoreboard
from core.ml.worth import layer_report
from core.services.worth import GeminiView, LayersView
from tests.lived import AGAINST, AGREES, Row, outcomes, signal
from tests.markets import START


def opinionated(n: int = 120, reason: str = "no answer within 20 s") -> list[Row]:
    """Signals on which alignment knows, Gemini guesses and the model is not yet there."""
    rng = np.random.default_rng(5)
    return [
        signal(
            i,
            gross,
            status="taken" if rng.random() < 0.3 else "refused",
            alignment=AGAINST if rng.random() < (0.8 if gross < 0 else 0.1) else AGREES,
            gemini=(bool(rng.random() < 0.6), float(rng.uniform(0.55, 0.95))) if i % 10 else None,
            no_opinion=reason,
            tokens=(900, 60) if i % 10 else (0, 0),
        )
        for i, gross in enumerate(outcomes(n, 5), 1)
    ]


def layers(rows: list[Row], picture: bytes | None = None) -> LayersView:
    return LayersView(layer_report(lived(rows), Settings(), 0.0), picture)


def gemini(rows: list[Row], picture: bytes | None = None, *, present: bool = True) -> GeminiView:
    now = START + 60 * DAY_MS
    board = scoreboard([d for d, _ in rows], lived(rows), Settings().gemini, 0.7, now)
    return GeminiView(board, present, picture)
