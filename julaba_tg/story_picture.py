"""The picture beside a story, if it comes quickly: words do not wait for decoration."""

from __future__ import annotations

import asyncio
import logging
from zoneinfo import ZoneInfo

from core.services.story_words import Span
from julaba_tg.ports import DeskLike

log = logging.getLogger(__name__)

PATIENCE = 4.0  # seconds


async def story_picture(desk: DeskLike, span: Span, zone: ZoneInfo) -> bytes | None:
    """Of a day the equity since it began, of a week the month's calendar, both in that zone. Never raises."""
    try:
        async with asyncio.timeout(PATIENCE):
            if span == "day":
                return (await desk.topics.money.profit(1, zone)).picture
            return (await desk.topics.money.calendar(None, zone)).picture
    except Exception as error:
        log.warning("a story goes without its picture: %s", str(error) or type(error).__name__)
        return None
