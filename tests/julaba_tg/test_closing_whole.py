"""A phone closes trades of a real ledger: chat, desk, loop and SQLite together, and what they leave behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.audit_chain import broken_link
from core.domain.candles import DAY_MS, to_ms
from core.errors import MarketError
from core.ports import MarketData
from core.services.bus import Bell
from core.services.day_book import read_day
from core.services.day_check import BY_HAND, DayDifference, check_day
from core.services.manual import Hands
from core.services.outbox import Outbox
from julaba_tg.app import Bot
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import wall_now
from tests.julaba_tg.conftest import OWNER, World
from tests.ledgers import market, settings
from tests.markets import M15, START
from tests.offices import FIRST, Office, office


class Silent:
    """An exchange that gives nothing: closings are at the last close known."""

    async def server_time(self) -> int:
        raise MarketError("the exchange does not answer")

    async def candles(self, *_: object) -> Any:
        raise MarketError("the exchange does not answer")


@asynccontextmanager
async def chatting(folder: Path) -> AsyncIterator[tuple[World, Office]]:
    """A bot on a desk with an open trade."""
    phone = Phone()
    await phone.start()
    people = {"access": {"users": {OWNER: "approver"}}, "telegram": {"poll_timeout": 1, "base_url": phone.base_url}}
    config: Settings = settings(**people)
    try:
        async with office(folder, config=config) as there:
            row = FIRST
            while not there.stage.loop.account.positions:
                await there.stage.play(market(900), row, row + 1)
                row += 1
            hands = Hands(config, there.stage.clock, cast(MarketData, Silent()), there.kept.ledger, there.stage.loop)
            there.desk._hands = hands
            outbox = Outbox(there.kept.chat, Bell())
            world = World(phone, cast(Any, there.desk), cast(Any, outbox), config)
            world.bot = Bot(config, phone.token, there.desk, outbox, wall_now)
            await world.bot.start()
            try:
                yield world, there
            finally:
                await world.bot.stop()
    finally:
        await phone.stop()


async def shown(chat: World, words: str, what: str) -> str:
    chat.phone.say(OWNER, words)
    return (await chat.phone.wait_for(lambda m: m.text.splitlines()[0].startswith(what), chat_id=OWNER)).text


async def audit(there: Office) -> dict[str, str]:
    rows = await there.kept.chat.audit_rows()
    assert broken_link(reversed(rows)) is None
    return {str(row["action"]): str(row["detail"]) for row in rows}


async def test_panic_closes_pauses_and_is_audited_with_before_and_after(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        count = len(there.stage.loop.account.positions)
        equity = there.stage.loop.account.equity
        preview = await shown(chat, "/panic", "🛑 Close")
        said = await shown(chat, str(count), "✋" if count == 1 else "🛑 1")
        noted = (await audit(there))["panic"]
        controls = await there.kept.ledger.controls()
        state = await there.kept.ledger.load()

    assert "price 0s old" in preview
    assert "New trades are paused" in said
    assert controls.paused.startswith("panic by ")
    assert state.account is not None
    assert state.account.positions == ()
    assert noted.startswith(f"before: {count} open, equity {equity:,.2f}, running; after: 0 open, equity ")
    assert "panic by" in noted
    assert "closed: #" in noted


async def test_the_nightly_check_knows_what_a_person_closed(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        held = there.stage.loop.account.positions[0]
        message = await chat.ask(f"/close {held.pair.base}")
        data = message.button("Close").callback_data
        assert data is not None
        chat.phone.tap(OWNER, message.message_id, data)
        await chat.phone.wait_for(lambda m: "closed" in m.text.splitlines()[0], chat_id=OWNER)
        row = (to_ms(there.stage.clock.now()) - START) // M15.ms
        await there.stage.play(market(900), row, row + 150)
        store = CandleFiles(tmp_path / "candles")
        for window in market(900).values():
            store.save(window)
        found: list[DayDifference] = []
        for day in range(START + 4 * DAY_MS, START + 9 * DAY_MS, DAY_MS):
            book = await read_day(there.kept.ledger, there.stage.loop.in_force, day)
            if book is not None:
                found += check_day(store, there.stage.loop.in_force, book).differences

    outcomes = [d for d in found if d.what == "outcome"]
    assert [(d.pair, d.cause) for d in outcomes] == [(held.pair, BY_HAND)]
    assert not [d for d in found if d.cause == "unknown"]
