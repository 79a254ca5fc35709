"""Rules, the dial and the gate's outlook as a fake desk shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from core.services.dial import DialView
from core.services.proposals import OpeningAnswer
from core.services.rules import RuleView

CHANGED_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

AS_CONFIGURED = (
    RuleView("rules.btc", "trades against a BTC they move with", "half", "half", "", None),
    RuleView("strategy.adx_min", "the lowest ADX", "25", "25", "", None),
)
CHANGED = (RuleView("strategy.adx_min", "the lowest ADX", "20", "25", "Ann", CHANGED_AT), AS_CONFIGURED[0])


def a_dial(picture: bytes | None) -> DialView:
    return DialView(
        step=0.25,
        title="The model counts nothing now; the next step is 0.25",
        lines=(
            "With weight 0.25, 1 of the last 30 signals flips: 11 taken instead of 12.",
            "Net +2.00R with it, +1.00R without.",
            "LINK LONG 20 Nov 09:15 UTC: taken → refused, 0.72 → 0.66, -1.00R net",
        ),
        picture=picture,
    )


def an_opening(approval_id: int | None = 4, opens: bool | None = False) -> OpeningAnswer:
    return OpeningAnswer(
        opens,
        'The gate will not open. Instead: leave out "volume from 0.75"?' if approval_id else "The gate may open",
        ("The gate will not open within a year.", "Tried: 2 models."),
        approval_id,
    )
