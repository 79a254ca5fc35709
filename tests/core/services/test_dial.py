"""The dial reads the ledger: what the next step would do, with a picture where there is something to draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.services.dial import dial_view, last_signals
from tests.core.services.test_gatekeeper import outcome_effect
from tests.ledgers import Stage, books, settings


async def test_the_dial_shows_the_next_step_over_what_the_ledger_holds(tmp_path: Path) -> None:
    config = settings()
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, config)
        empty = await dial_view(kept.ledger, config, stage.loop, 0.0)
        assert (empty.step, empty.picture) == (0.25, None)
        assert empty.lines == ("No past signal has a stored prediction, so nothing can be previewed.",)

        for number, probability in enumerate((0.5, 0.3, 0.4, 0.1)):
            await kept.ledger.commit(outcome_effect(number, probability, won=number == 0, trade=True))
        stage.loop.memory.outcomes = 200
        shown = await dial_view(kept.ledger, config, stage.loop, 0.0)
        stage.loop.memory.controls = replace(stage.loop.memory.controls, approved_weight=0.75)
        last = await dial_view(kept.ledger, config, stage.loop, 0.75)

    assert shown.picture is not None
    assert shown.picture.startswith(b"\x89PNG")
    # Ranks among earlier predictions: none (0.5), lowest (0), in the middle (0.5), lowest (0); 0.8 * 0.75 + rank * 0.25
    assert shown.lines[0] == "With weight 0.25, 2 of the last 4 signals flip: 2 taken instead of 4."
    assert shown.title == "The model counts nothing now; the next step is 0.25"
    assert (last.step, last.title) == (None, "The model counts 0.75 now; there is no further step")


async def test_a_candidates_prediction_counts_for_a_rank_that_was_not_stored(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        for number, probability in enumerate((0.2, 0.9, 0.95)):
            effect = outcome_effect(number, probability, won=True, trade=True)
            changes = {"is_signal": False, "status": "candidate"} if number < 2 else {}
            decision = replace(effect.decisions[0], **changes)  # type: ignore[arg-type]
            await kept.ledger.commit(replace(effect, decisions=(decision,)))
        assert [s.rank for s in await last_signals(kept.ledger)] == [1.0]  # 0.5 if it stood alone
        effect = outcome_effect(3, 0.3, won=True, trade=True)
        await kept.ledger.commit(effect)
        assert [s.rank for s in await last_signals(kept.ledger)] == [1.0, pytest.approx(1 / 3)]
        stored = outcome_effect(4, 0.3, won=True, trade=True)
        await kept.ledger.commit(replace(stored, decisions=(replace(stored.decisions[0], ml_rank=0.75),)))
        assert [s.rank for s in await last_signals(kept.ledger)][-1] == 0.75
