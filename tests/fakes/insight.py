"""What blocks a trade, what filters are worth and what would bring the next look nearer, as a test says."""

from __future__ import annotations

from datetime import UTC, datetime

from core.services.outlook import Due, Outlook, Shortening

OUTLOOK = Outlook(
    title="50 outcomes",
    needed=50,
    have=31,
    due=Due(datetime(2027, 2, 12, tzinfo=UTC), 21.0),
    changes=(
        Shortening(
            "Add 7 pairs", datetime(2027, 1, 4, tzinfo=UTC), -0.08, -0.31, 0.15, 31, "pairs suggest",
            "all signals so far: a guess",
        ),
        Shortening(
            "ADX from 20", datetime(2027, 1, 20, tzinfo=UTC), -0.21, None, None, 12, "rule strategy.adx_min=20",
            "what it would have added",
        ),
    ),
)  # fmt: skip


class FakeInsight:
    def __init__(self) -> None:
        self.outlook_view = OUTLOOK

    async def outlook(self) -> Outlook:
        return self.outlook_view
