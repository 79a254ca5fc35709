"""Opinions wait in the database for their decision."""

from __future__ import annotations

from pathlib import Path

from core.adapters.sqlite_opinions import KEPT_MS, SqliteOpinions
from core.domain.candles import Pair
from core.domain.trading import GeminiOpinion
from tests.ledgers import books

LINK = Pair.parse("LINK/USDT")
YES = GeminiOpinion(True, 0.8, "because “of” it", ("thin volume", "BTC"), "gemini-3.5", 120, 40)
QUESTION = "LONG by gemini-3.5"


async def test_an_opinion_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await SqliteOpinions(kept.db).keep(LINK, 900, QUESTION, YES, 1000)
    async with books(tmp_path) as kept:
        assert await SqliteOpinions(kept.db).known(LINK, 900, QUESTION) == YES


async def test_another_question_pair_or_candle_has_no_answer_yet(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        book = SqliteOpinions(kept.db)
        await book.keep(LINK, 900, QUESTION, YES, 1000)

        assert await book.known(LINK, 900, "LONG by gemini-4") is None
        assert await book.known(LINK, 901, QUESTION) is None
        assert await book.known(Pair.parse("ETH/USDT"), 900, QUESTION) is None


async def test_a_new_answer_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    no = GeminiOpinion(False, 0.3, "", (), "gemini-4")
    async with books(tmp_path) as kept:
        book = SqliteOpinions(kept.db)
        await book.keep(LINK, 900, QUESTION, YES, 1000)
        await book.keep(LINK, 900, "LONG by gemini-4", no, 1001)

        assert await book.known(LINK, 900, "LONG by gemini-4") == no
        assert await book.known(LINK, 900, QUESTION) is None


async def test_opinions_nobody_will_ask_for_again_are_thrown_away(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        book = SqliteOpinions(kept.db)
        for at in (1000, 2000, 1001 + KEPT_MS):
            await book.keep(LINK, at, QUESTION, YES, at)
        rows = await kept.db.rows("SELECT asked_at FROM opinions ORDER BY asked_at")

    assert [row["asked_at"] for row in rows] == [2000, 1001 + KEPT_MS]
