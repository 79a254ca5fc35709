"""The picture of the samples: drawn for every state there is, alike for alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.config import Gate
from core.domain.candles import DAY_MS, to_ms
from core.ml.forecast import Seen, Skill, forecast
from core.reports.samples_chart import samples_chart

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcomes", "days", "prior", "skill"),
    [
        (0, 0.0, None, None),
        (0, 0.0, 0.6, None),
        (23, 35.0, 0.6, Skill(300, 0.4, 0.53, 0.48, 0.58)),
        (260, 90.0, None, Skill(800, 0.4, 0.66, 0.62, 0.70)),
    ],
)
def test_every_state_has_a_picture(outcomes: int, days: float, prior: float | None, skill: Skill | None) -> None:
    ahead = forecast(Seen(outcomes, 0, outcomes, days, 5), NOW, Gate(), prior_per_day=prior, skill=skill)
    closed = [to_ms(NOW) - int(days * DAY_MS * (1 - n / max(1, outcomes))) for n in range(outcomes)]

    picture = samples_chart(ahead, closed, NOW - timedelta(days=days) if days else None)

    assert picture.startswith(b"\x89PNG")
    assert picture == samples_chart(ahead, closed, NOW - timedelta(days=days) if days else None)
