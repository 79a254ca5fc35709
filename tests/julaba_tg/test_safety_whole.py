"""A phone changes a real desk and takes it back: chat, services, loop and SQLite together, and what the audit says."""

from __future__ import annotations

from pathlib import Path

from core.domain.audit_chain import broken_link
from core.services.approvals import Question
from julaba_tg.phone.chats import Message
from tests.julaba_tg.conftest import OWNER, World
from tests.julaba_tg.test_closing_whole import chatting
from tests.offices import Office


async def tapped(chat: World, shown: Message, words: str, then: str) -> Message:
    data = shown.button(words).callback_data
    assert data is not None
    chat.phone.tap(OWNER, shown.message_id, data)
    return await chat.phone.wait_for(lambda m: then in m.text, chat_id=OWNER)


async def audited(there: Office) -> list[tuple[str, str]]:
    """Action and detail, oldest first; the chain holds."""
    rows = list(reversed(await there.kept.chat.audit_rows()))
    assert broken_link(rows) is None
    return [(str(r["action"]), str(r["detail"])) for r in rows]


async def test_a_pair_with_an_open_trade_off_and_on_again(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        held = there.stage.loop.account.positions[0]
        coin = held.pair.base
        asked = await chat.ask(f"/pair {coin} off")
        assert "Its open trade goes on" in asked.text
        assert there.stage.loop.enabled(held.pair)
        await tapped(chat, asked, f"Switch {coin} off", f"{coin} is off")
        assert not there.stage.loop.enabled(held.pair)
        shown = await chat.ask("/undo")
        assert shown.text.splitlines()[0] == f"↩️ Undo: {coin} off → on, by You just now?"
        await tapped(chat, shown, "Undo it", "↩️ Undone")
        assert there.stage.loop.enabled(held.pair)
        again = await chat.ask("/undo")
        assert again.text.splitlines()[0] == "↩️ There is no change to take back"
        redone = await tapped(chat, again, "Redo instead", f"Undo: {coin} on → off")
        await tapped(chat, redone, "Undo it", f"Undone: {coin} on → off")
        assert not there.stage.loop.enabled(held.pair)
        page = await chat.ask("/audit 20")

        said = await audited(there)
    changes = [entry for entry in said if entry[0] != "command"]
    assert changes == [
        ("switch_pair", f"{held.pair}: on → off"),
        ("undo", f"{held.pair}: off → on · takes back change 1 by You"),
        ("redo", f"{held.pair}: on → off · takes back change 2 by You"),
    ]
    assert ("command", f"/pair {coin} off") in said
    assert page.text.splitlines()[0].startswith("🧾 Audit: ")
    assert f"You · redo · {held.pair}: on → off" in page.text


async def test_a_size_is_set_and_undone(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        assert (await chat.ask("/size eth 0.5")).text.startswith("📐 ETH size 1 → 0.5")
        assert "ETH 0.5 ·" in (await chat.ask("/size")).text
        shown = await chat.ask("/undo")
        assert "ETH size 0.5 → 1" in shown.text
        await tapped(chat, shown, "Undo it", "↩️ Undone: ETH size 0.5 → 1")
        assert there.stage.loop.memory.controls.changes == {}


async def test_a_closed_trade_is_named_as_what_cannot_be_undone(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        held = there.stage.loop.account.positions[0]
        await chat.ask("/pause")
        await chat.ask("/panic")
        await chat.ask(str(len(there.stage.loop.account.positions)))
        shown = await chat.ask("/undo")
        said = await audited(there)

    assert held
    assert "Undo: trading paused by You → running" in shown.text
    assert "Not to be undone: all trades closed by hand, by You just now. They stay closed" in shown.text
    assert [action for action, _ in said] == [
        "command", "pause", "command", "command", "panic", "command",
    ]  # fmt: skip


async def test_a_thumb_and_a_word_are_in_the_audit_with_what_they_changed(tmp_path: Path) -> None:
    async with chatting(tmp_path) as (chat, there):
        asking = there.keeper.approvals
        number = await asking.ask("rule", Question("May ADX be lower?", (), body=_ADX), "Julaba")
        card = await chat.phone.wait_for(lambda m: "May ADX be lower?" in m.text, chat_id=OWNER)
        chat.phone.react(OWNER, card.message_id, "👍")
        await chat.until(lambda: there.stage.loop.memory.controls.changes != {})
        await chat.quiet(OWNER)
        said = await audited(there)

    assert ("command", f"reaction 👍 to message {card.message_id}") in said
    assert ("answer_approval", f"{number} approved: May ADX be lower? · strategy.adx_min: 10 → 20") in said


_ADX = '{"changes": {"strategy.adx_min": 20.0}, "configured": {"strategy.adx_min": 10.0}}'
