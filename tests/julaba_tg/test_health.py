"""/health over the real bot and the emulated Telegram: one line says how it is, a button looks again."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from core.domain.health import Trouble
from julaba_tg import rendering_health
from julaba_tg.card import CAPTION_LIMIT, html, plain, units
from julaba_tg.commands import COMMANDS
from tests.fakes.health import health
from tests.julaba_tg.conftest import STRANGER, VIEWER, World

UTC = ZoneInfo("UTC")


async def test_a_viewer_asks_and_looks_again_in_place(chat: World) -> None:
    shown = await chat.ask("/health", VIEWER)
    assert shown.text.startswith("💚 All is well")
    chat.desk.health_view = health(Trouble("down", "The database takes no commit; see the log."))
    chat.phone.tap(VIEWER, shown.message_id, shown.button("Refresh").callback_data)
    changed = await chat.phone.wait_for(lambda m: "The database takes no commit" in m.text)

    assert changed.message_id == shown.message_id
    assert changed.text.startswith("🔴 Julaba does not do its work\n🛑 The database takes no commit")


async def test_a_stranger_hears_nothing(chat: World) -> None:
    chat.phone.say(STRANGER, "/health")
    assert await chat.quiet(STRANGER) == []


def test_the_command_is_a_viewers_look_among_what_keeps() -> None:
    (command,) = [c for c in COMMANDS if c.name == "health"]
    assert (command.role, command.group, command.changes) == ("viewer", "keep", False)


def test_what_is_worst_comes_first_and_the_figures_are_in_the_fold() -> None:
    view = health(Trouble("degraded", "ETH is late."), Trouble("down", "Trading hangs."), quarantined="HTTP 503 <b>&")
    lines = plain(rendering_health.health(view, UTC)).splitlines()

    assert lines[:3] == ["🔴 Julaba does not do its work", "🛑 Trading hangs.", "⚠️ ETH is late."]
    card = html(rendering_health.health(view, UTC))
    assert "<blockquote expandable>" in card
    assert "HTTP 503 &lt;b&gt;&amp;" in card
    assert "LINK 20 s ago, ETH 45m ago" in card
    assert "this computer is 0.4 s behind the exchange" in card


def test_a_clock_that_was_never_compared_is_not_called_the_exchanges() -> None:
    well = health()
    for started, offset, words in (
        (False, None, "Clock: not compared with the exchange's yet"),
        (True, None, "Clock: the exchange's is the clock"),
        (True, 0.01, "Clock: as the exchange's"),
    ):
        view = replace(well, clock_offset=offset, trading=replace(well.trading, started=started))
        assert words in plain(rendering_health.health(view, UTC)).splitlines()


def test_it_is_short_enough_for_a_phone() -> None:
    assert units(html(rendering_health.health(health(), UTC))) <= CAPTION_LIMIT
