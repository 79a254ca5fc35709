"""/undo, /size and /audit on a phone, and the questions before dangerous commands: by whom, and only as shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.config import Settings
from core.services.audit_log import Chain
from julaba_tg.confirming import unsealed
from julaba_tg.phone.chats import Message
from julaba_tg.safety_handlers import is_look
from tests.fakes import safety
from tests.fakes.rules import AS_CONFIGURED, CHANGED, CHANGED_AT
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.test_models import ALL

OPERATOR = 1004
LATER = timedelta(minutes=11)
ASKED = "Nothing changes before you tap."


@pytest.fixture
def settings() -> Settings:
    users = {OWNER: "approver", VIEWER: "viewer", OPERATOR: "operator"}
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


@pytest.fixture
async def chat(world: World) -> World:
    world.phone.add_user(OPERATOR, "Ole")
    await world.new_bot().start()
    return world


async def told(chat: World, what: str, user: int = OWNER) -> Message:
    return await chat.phone.wait_for(lambda m: what in m.text and m.from_bot, chat_id=user)


def tap(chat: World, shown: Message, words: str, user: int = OWNER) -> None:
    data = shown.button(words).callback_data
    assert data is not None
    chat.phone.tap(user, shown.message_id, data)


def labels(shown: Message) -> list[str]:
    return [b.text for b in shown.buttons]


# -- /undo


async def test_undo_shows_what_it_would_do_and_a_tap_does_it_in_place(chat: World) -> None:
    undoing = chat.desk.topics.safety.undo
    shown = await chat.ask("/undo", OPERATOR)
    assert shown.text.splitlines()[0] == "↩️ Undo: LINK off → on, by Ann 5m ago?"
    assert ASKED in shown.text
    assert undoing.undone == []
    tap(chat, shown, "Undo it", OPERATOR)
    done = await told(chat, "↩️ Undone: LINK off → on", OPERATOR)
    assert done.message_id == shown.message_id
    assert undoing.undone == [(12, "Ole")]
    assert "new:undo 112" in [b.callback_data for b in done.buttons]


async def test_a_second_tap_undoes_nothing(chat: World) -> None:
    shown = await chat.ask("/undo")
    tap(chat, shown, "Undo it")
    tap(chat, shown, "Undo it")
    await told(chat, "There is no change 12")
    assert chat.desk.topics.safety.undo.undone == [(12, "You")]


async def test_a_stale_button_carries_its_own_change_and_no_newer_one(chat: World) -> None:
    undoing = chat.desk.topics.safety.undo
    shown = await chat.ask("/undo", OPERATOR)
    undoing.deeds[20] = replace(safety.LINK_OFF, deed_id=20, by="Kim")
    tap(chat, shown, "Undo it", OPERATOR)
    await told(chat, "Undone", OPERATOR)
    assert undoing.undone == [(12, "Ole")]
    assert list(undoing.deeds) == [20]


async def test_what_was_changed_since_is_said_and_there_is_nothing_to_tap(chat: World) -> None:
    chat.desk.topics.safety.undo.blocked = "it was changed again since: LINK/USDT is off now"
    chat.desk.topics.safety.undo.finals = (safety.CLOSED,)
    shown = await chat.ask("/undo")
    assert shown.text.splitlines()[:3] == [
        "↩️ Not to be undone: LINK off → on, by Ann 5m ago",
        "It was changed again since: LINK/USDT is off now.",
        "",
    ]
    assert "Not to be undone: a trade closed by hand, by Ann 2m ago. It stays closed." in shown.text
    assert "Undo it" not in labels(shown)


async def test_an_operator_is_shown_an_approvers_change_but_cannot_undo_it(chat: World) -> None:
    undoing = chat.desk.topics.safety.undo
    undoing.deeds = {13: safety.RULES_BACK}
    shown = await chat.ask("/undo", OPERATOR)
    assert shown.text.splitlines()[0] == "↩️ Undo: strategy.adx_min 25 → 20, by Ann 4m ago"
    assert "needs an approver" in shown.text
    assert "Undo it" not in labels(shown)
    asked = await chat.ask("/undo")
    data = asked.button("Undo it").callback_data
    assert data is not None
    chat.phone.tap(OPERATOR, shown.message_id, data)  # as a modified client can
    await chat.quiet(OPERATOR)
    assert undoing.undone == []


async def test_the_last_undo_can_be_made_undone_instead(chat: World) -> None:
    undoing = chat.desk.topics.safety.undo
    undoing.redo = replace(safety.LINK_OFF, deed_id=15, subject="undo")
    undoing.deeds[15] = undoing.redo
    del undoing.deeds[12]
    undoing.deeds, kept = {}, undoing.deeds
    nothing = await chat.ask("/undo")
    assert nothing.text == "↩️ There is no change to take back"
    undoing.deeds = kept
    tap(chat, nothing, "Redo instead")
    shown = await told(chat, "↩️ Undo: LINK")
    tap(chat, shown, "Undo it")
    await told(chat, "Undone")
    assert undoing.undone == [(15, "You")]


async def test_a_preview_that_is_too_old_is_shown_anew(chat: World) -> None:
    shown = await chat.ask("/undo")
    chat.skipped = LATER
    tap(chat, shown, "Undo it")
    anew = await told(chat, "That preview was too old")
    assert anew.message_id != shown.message_id
    assert chat.desk.topics.safety.undo.undone == []


@pytest.mark.parametrize("words", ["/undo x", "/undo 0", "/undo 1 2", "/undo -3"])
async def test_what_is_no_number_ends_in_the_usage_line(chat: World, words: str) -> None:
    assert "Usage: /undo" in (await chat.ask(words)).text


# -- /size


async def test_size_by_buttons_from_the_pair_to_the_factor(chat: World) -> None:
    choice = await chat.ask("/size", OPERATOR)
    assert choice.text.splitlines()[:2] == ["📐 Size: which pair?", "LINK 1 · $200 at risk"]
    tap(chat, choice, "LINK", OPERATOR)
    factors = await told(chat, "📐 LINK size 1", OPERATOR)
    assert (factors.message_id, labels(factors)[:4]) == (choice.message_id, ["0.25", "0.5", "0.7", "1"])
    tap(chat, factors, "0.5", OPERATOR)
    done = await told(chat, "📐 LINK size 1 → 0.5", OPERATOR)
    assert "The next trade risks up to $100 instead of up to $200." in done.text
    assert "The open LINK trade keeps its size." in done.text
    assert "↩️ Undo" in labels(done)
    assert chat.desk.topics.safety.sizes.factors["LINK/USDT"] == 0.5


async def test_size_in_words(chat: World) -> None:
    assert (await chat.ask("/size eth 50%")).text.startswith("📐 ETH size 0.8 → 0.5")
    assert (await chat.ask("/size eth ,5")).text.startswith("📐 ETH size is 0.5 already")
    assert "at most 2" in (await chat.ask("/size eth 3")).text
    assert "above 0" in (await chat.ask("/size eth 0")).text
    assert "Usage: /size" in (await chat.ask("/size eth much")).text
    assert "is not among the pairs" in (await chat.ask("/size doge 1")).text
    assert "Usage: /size" in (await chat.ask("/size eth 1 2")).text


async def test_more_than_the_full_risk_is_asked_back(chat: World) -> None:
    shown = await chat.ask("/size link 2")
    assert shown.text.splitlines()[0] == "📐 LINK size 1 → 2?"
    assert "up to $400 instead of up to $200" in shown.text
    assert chat.desk.topics.safety.sizes.factors["LINK/USDT"] == 1.0
    chat.desk.topics.safety.sizes.factors["LINK/USDT"] = 0.25
    tap(chat, shown, "Set LINK to 2")
    anew = await told(chat, "📐 LINK size 0.25 → 2?")
    assert "Things have changed" in anew.text
    tap(chat, anew, "Set LINK to 2")
    await told(chat, "Counts from the next candle on.")
    assert chat.desk.topics.safety.sizes.factors["LINK/USDT"] == 2.0


# -- /audit


async def test_audit_shows_who_did_what_with_strangers_folded_and_pages(chat: World) -> None:
    first = await chat.ask("/audit 4", OPERATOR)
    assert first.text.splitlines()[:5] == [
        "🧾 Audit: 57 entries, unchanged",
        "21 Nov 11:59 · Ann · switch pair · LINK/USDT: on → off",
        "21 Nov 11:58 · Ann: /pair LINK off",
        "21 Nov 11:57 · Ann looked 4 times: /status",
        "21 Nov 11:55 · 3 strangers turned away",
    ]
    tap(chat, first, "Older", OPERATOR)
    older = await told(chat, "Vera may not: /pause", OPERATOR)
    assert older.message_id == first.message_id
    tap(chat, older, "Newest", OPERATOR)
    await told(chat, "LINK/USDT: on → off", OPERATOR)


async def test_a_broken_chain_is_the_first_line(chat: World) -> None:
    chat.desk.topics.safety.audit.chain = Chain(
        57, 12, "entry 12 is not what was written, or the one before it is gone", None
    )
    assert (await chat.ask("/audit")).text.splitlines()[0] == (
        "⚠️ Audit: entry 12 is not what was written, or the one before it is gone"
    )


@pytest.mark.parametrize("words", ["/audit x", "/audit 31", "/audit 1 2 3", "/audit 5 x"])
async def test_a_wrong_number_of_entries_ends_in_the_usage_line(chat: World, words: str) -> None:
    assert "Usage: /audit [n]" in (await chat.ask(words)).text


def test_looks_are_told_from_what_changes_something() -> None:
    assert [is_look(s) for s in ("/status", "tap go:pairs", "tap new:chart LINK/USDT", "/trades 5")] == [True] * 4
    changing = (
        "/pair LINK off",
        "tap go:pair LINK/USDT off",
        "/ml 0",
        "/panic",
        "3",
        "tap yes:3",
        "hello",
        "/nonsense",
    )
    assert not any(is_look(s) for s in changing)


# -- who may


@pytest.mark.parametrize("words", ["/undo", "/size LINK 0.5", "/audit", "/undo 12"])
async def test_viewers_and_strangers_are_kept_out(chat: World, words: str) -> None:
    assert (await chat.ask(words, VIEWER)).text.endswith("needs an operator; you are a viewer.")
    chat.phone.say(STRANGER, words)
    assert await chat.quiet(STRANGER) == []
    home = await chat.ask("/start", VIEWER)
    chat.phone.tap(VIEWER, home.message_id, f"go:{words[1:]}")
    await chat.quiet(VIEWER)
    assert chat.desk.topics.safety.undo.undone == []
    assert chat.desk.topics.safety.sizes.factors["LINK/USDT"] == 1.0


# -- asked before it is done


async def test_a_pair_with_an_open_trade_is_switched_off_by_a_tap(chat: World) -> None:
    shown = await chat.ask("/pair LINK off", OPERATOR)
    assert shown.text.splitlines()[0] == "🔀 Switch LINK off? Its open trade goes on"
    assert "keeps its stop 17.10" in shown.text
    assert chat.desk.switches["LINK/USDT"] is True
    tap(chat, shown, "Switch LINK off", OPERATOR)
    done = await told(chat, "🔀 LINK is off", OPERATOR)
    assert done.message_id == shown.message_id
    assert (await chat.ask("/pair ETH off", OPERATOR)).text.startswith("🔀 ETH is off")
    assert (await chat.ask("/pair LINK on", OPERATOR)).text.startswith("🔀 LINK is on")


async def test_a_trade_that_has_ended_since_is_no_longer_asked_about(chat: World) -> None:
    shown = await chat.ask("/pair LINK off")
    chat.desk.position_views = ()
    tap(chat, shown, "Switch LINK off")
    await told(chat, "🔀 LINK is off")


async def test_another_trade_of_the_pair_is_shown_anew(chat: World) -> None:
    shown = await chat.ask("/pair LINK off")
    chat.desk.position_views = (replace(chat.desk.position_views[0], trade_id=99),)
    tap(chat, shown, "Switch LINK off")
    anew = await told(chat, "#99")
    assert "Things have changed since this was shown" in anew.text
    assert chat.desk.switches["LINK/USDT"] is True


async def test_the_way_back_to_config_is_shown_and_needs_what_was_shown(chat: World) -> None:
    chat.desk.rule_views = CHANGED
    shown = await chat.ask("/rules config")
    chat.desk.rule_views = (replace(CHANGED[0], value="15", changed_at=CHANGED_AT), CHANGED[1])
    tap(chat, shown, "Take them back")
    anew = await told(chat, "the lowest ADX: 15 → 25")
    assert chat.desk.rule_views != AS_CONFIGURED
    tap(chat, anew, "Take them back")
    await told(chat, "📏 Rules: as configured")


async def test_a_rollback_by_its_name_is_shown_first_too(chat: World) -> None:
    chat.desk.model_list = ALL
    before = chat.desk.model_list.champion
    assert ALL.before is not None
    shown = await chat.ask(f"/rollback {ALL.before}")
    assert chat.desk.model_list.champion == before
    chat.desk.weight = 0.25
    tap(chat, shown, "Go back")
    anew = await told(chat, "Things have changed")
    tap(chat, anew, "Go back")
    await told(chat, "is the champion again")
    assert "the champion before" in (await chat.ask("/rollback nonsense")).text or chat.desk.model_list.before is None


async def test_a_weight_is_set_to_0_by_a_tap_and_none_at_once(chat: World) -> None:
    await chat.ask("/ml 0")
    assert chat.desk.weights == [0.0]
    ml = chat.desk.ml

    async def weighty() -> Any:
        return replace(await ml(), approved_weight=0.25, weight=0.2)

    chat.desk.ml = weighty  # type: ignore[method-assign]
    shown = await chat.ask("/ml 0", OPERATOR)
    assert shown.text.splitlines()[0] == "🧠 Weight 25% → 0?"
    assert "cannot be undone" in shown.text
    assert chat.desk.weights == [0.0]
    tap(chat, shown, "Set it to 0", OPERATOR)
    await chat.until(lambda: len(chat.desk.weights) == 2)


async def test_a_drawdown_pause_is_lifted_by_a_tap(chat: World) -> None:
    status = chat.desk.status

    async def poor() -> Any:
        return replace(await status(), drawdown=0.21, drawdown_paused=True)

    chat.desk.status, chat.desk.paused = poor, "drawdown"  # type: ignore[method-assign]
    shown = await chat.ask("/resume")
    assert shown.text.splitlines()[0] == "▶️ Trade again after a drawdown of 21.0%?"
    assert "counted anew from today's equity, $10,240" in shown.text
    assert chat.desk.paused == "drawdown"
    tap(chat, shown, "Trade again")
    await chat.until(lambda: chat.desk.paused == "")


async def test_a_forged_seal_does_nothing(chat: World) -> None:
    shown = await chat.ask("/pair LINK off")
    data = shown.button("Switch LINK off").callback_data or ""
    *line, digest, at = data.split()
    for forged in (
        f"{' '.join(line)} 00000000 {at}",
        f"{' '.join(line)} {digest} 9999999999",
        f"go:undo 12 {digest} {at}",
    ):
        chat.phone.tap(OWNER, shown.message_id, forged)
    await chat.quiet()
    assert chat.desk.switches["LINK/USDT"] is True
    assert chat.desk.topics.safety.undo.undone == []


def test_only_a_seal_is_taken_for_one() -> None:
    assert unsealed(("LINK", "off")) == (("LINK", "off"), None)
    assert unsealed(("81ca5d5e",)) == (("81ca5d5e",), None)
    words, seal = unsealed(("LINK", "off", "0a1b2c3d", "1700000000"))
    assert (words, seal and seal.at) == (("LINK", "off"), 1700000000)
    assert unsealed(("x", "0a1b2c3d", "٣" * 10))[1] is None


@pytest.mark.parametrize("words", ["/undo", "/size LINK 0.5", "/pair LINK off", "/rules config", "/ml 0", "/resume"])
async def test_an_old_command_is_asked_back(chat: World, words: str) -> None:
    chat.skipped = timedelta(minutes=5)
    shown = await chat.ask(words)
    assert "was not done" in shown.text
    assert "Do it now" in labels(shown)


# -- how much at once


@pytest.mark.parametrize(("one", "other"), [(VIEWER, OWNER), (OWNER, VIEWER)])
async def test_one_persons_flood_never_delays_another(chat: World, one: int, other: int) -> None:
    for _ in range(300):
        chat.phone.say(one, "/status")
    started = chat.now()
    answer = await chat.ask("/status", other)
    assert answer.text.startswith("📊")
    assert chat.now() - started < timedelta(seconds=3)
    await chat.until(lambda: chat.bot is not None and chat.bot.idle)
    assert len([m for m in chat.phone.messages(one) if m.from_bot]) < 40


async def test_what_a_flood_sends_takes_no_place_in_the_store(chat: World) -> None:
    kept: list[int] = []
    keep = chat.desk.keep_update

    async def counted(update_id: int, body: str) -> None:
        kept.append(update_id)
        await keep(update_id, body)

    chat.desk.keep_update = counted  # type: ignore[method-assign]
    for _ in range(100):
        chat.phone.say(VIEWER, "/version")
    await chat.quiet(VIEWER)
    assert 20 <= len(kept) <= 30


async def test_a_person_has_one_long_work_at_a_time_and_others_have_theirs(chat: World) -> None:
    chat.desk.training_gate.clear()
    await chat.ask("/retrain")
    assert (await chat.ask("/opens")).text == "🐢 Your /retrain is still at work; one at a time."
    assert (await chat.ask("/opens", OPERATOR)).text.startswith(("🔭", "🔴"))
    chat.desk.training_gate.set()
    await told(chat, "the champion now")
    await chat.until(lambda: chat.bot is not None and not chat.bot._gate._costly._working)
    assert (await chat.ask("/opens")).text.startswith(("🔭", "🔴"))


async def test_pictures_are_some_a_minute_and_words_are_not_counted_among_them(chat: World) -> None:
    for _ in range(14):
        chat.phone.say(VIEWER, "/chart LINK")
    await chat.quiet()
    said = [m for m in chat.phone.messages(VIEWER) if m.from_bot]
    assert sum(m.media is not None for m in said) == 10
    assert sum(m.text.startswith("🐢 Pictures take work: the next in") for m in said) == 4
    assert (await chat.ask("/status", VIEWER)).text.startswith("📊")
    assert (await chat.ask("/chart LINK")).media is not None
