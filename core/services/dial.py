"""The weight's dial: what each weight would have done to the last signals, as a picture and in words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from core.config import Settings
from core.ml.preview import PastSignal, dial, past_signals, weight_card
from core.ports import Ledger
from core.services.loop import TradingLoop
from core.services.pictures import Draw


@dataclass(frozen=True, slots=True)
class DialView:
    """``step`` is the next weight that may be asked for, None at the last; ``lines`` what it would do. No picture
    without a signal that has a prediction."""

    step: float | None
    title: str
    lines: tuple[str, ...]
    picture: bytes | None


async def last_signals(ledger: Ledger) -> tuple[PastSignal, ...]:
    """The last decided signals with a prediction, each with its rank.

    Candidates, of which there are many more, are read only where a rank has not been stored and must be worked out.
    """
    rows = await ledger.trade_rows(signals_only=True)
    shown = {s.decision_id for s in past_signals(rows)}
    if any(r.decision.ml_rank is None for r in rows if r.decision.decision_id in shown):
        rows = await ledger.trade_rows()
    return past_signals(rows)


async def dial_view(
    ledger: Ledger, settings: Settings, loop: TradingLoop, counts: float, draw: Draw = asyncio.to_thread
) -> DialView:
    """What the next step of the weight would do, and the picture of them all.

    ``counts`` is what the model counts now, under the ramp.
    """
    from core.reports.preview_chart import dial_chart

    signals = await last_signals(ledger)
    approved, outcomes = loop.memory.controls.approved_weight, loop.memory.outcomes
    step = next((s for s in sorted(settings.approvals.weight_steps) if s > approved + 1e-9), None)
    wanted = approved if step is None else step
    shown = await asyncio.to_thread(weight_card, signals, wanted, settings, outcomes, counts)
    found = await asyncio.to_thread(dial, signals, settings, outcomes, approved)
    picture = await draw(dial_chart, found) if signals else None
    now = f"The model counts {counts:.2f} now" if counts else "The model counts nothing now"
    title = f"{now}; the next step is {step:g}" if step is not None else f"{now}; there is no further step"
    return DialView(step, title, shown.lines, picture)
