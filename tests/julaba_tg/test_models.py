"""Transcripts of /models, /promote and /rollback, and the promotion card by viewer, operator and approver."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.config import Settings
from core.domain.messages import ApprovalAsked
from core.services.registry import ModelEntry, ModelList, Reign
from julaba_tg.rendering_models import comparison
from tests.fakes.desk import NOON, an_approval
from tests.julaba_tg.conftest import VIEWER, World
from tests.thrones import better

OPERATOR = 1003
OLD, NEW = "xgb-v1-0a1b2c3d", "xgb-v2-81ca5d5e"


@pytest.fixture
def settings() -> Settings:
    users = {1001: "approver", VIEWER: "viewer", OPERATOR: "operator"}
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


def entry(model_id: str, **changes: object) -> ModelEntry:
    found = ModelEntry(
        model_id=model_id,
        state="challenger",
        damage="",
        kind="xgb",
        feature_set="v2",
        rows=412,
        trained_at=NOON,
        trained_until=NOON - timedelta(hours=3),
        evaluated=120,
        auc=0.58,
        auc_low=0.51,
        auc_high=0.65,
        brier_skill=0.01,
        parent=None,
        line=OLD,
        sha256="ab" * 32,
        reigns=(),
        comparison=None,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


FIRST = entry(
    OLD,
    state="former champion",
    feature_set="v1",
    reigns=(Reign(NOON - timedelta(days=3), NOON - timedelta(days=1), "Julaba", "it is the first model"),),
)
SECOND = entry(
    "xgb-v2-55555555",
    state="champion",
    parent=OLD,
    reigns=(Reign(NOON - timedelta(days=1), None, "Ann", "approval 2"),),
)
THIRD = entry(NEW, parent="xgb-v2-55555555", comparison=better("xgb-v2-55555555", NEW))
ALL = ModelList((THIRD, SECOND, FIRST), "xgb-v2-55555555", OLD)


async def test_before_the_first_model_the_list_says_what_is_missing(chat: World) -> None:
    assert (await chat.ask("/models")).text.startswith("🗃 No model yet")


async def test_models_are_listed_the_newest_first_with_a_button_each(chat: World) -> None:
    chat.desk.model_list = ALL
    listed = await chat.ask("/models", VIEWER)
    lines = listed.text.splitlines()

    assert lines[0] == "🗃 3 models · champion xgb-v2-55555555"
    assert "⚔️ xgb-v2-81ca5d5e · AUC 0.58 (0.51-0.65) · 412 rows · 21 Nov 12:00" in lines
    assert [line[:1] for line in lines if "AUC 0.58" in line] == ["⚔", "👑", "🕰"]
    assert [b.text for b in listed.buttons][-2:] == ["🔄 Refresh", "↩️ Roll back"]


async def test_the_champion_is_listed_however_many_models_are_newer(chat: World) -> None:
    many = tuple(entry(f"xgb-v2-000000{n:02}") for n in range(12))
    chat.desk.model_list = replace(ALL, models=(*many, SECOND, FIRST))
    listed = await chat.ask("/models")

    assert len([line for line in listed.text.splitlines() if "AUC 0.58" in line]) == 10
    assert "👑 xgb-v2-55555555 · AUC" in listed.text
    assert listed.button("xgb-v2-55555555")
    assert "and 4 older ones" in listed.text


async def test_a_model_is_shown_with_its_lineage_its_reigns_and_the_comparison(chat: World) -> None:
    chat.desk.model_list = ALL
    listed = await chat.ask("/models")
    chat.phone.tap(1001, listed.message_id, listed.button(NEW).callback_data)
    shown = await chat.phone.wait_for(lambda m: m.text.startswith(f"⚔️ {NEW} · challenger"))

    assert f"Lineage: {OLD} → xgb-v2-55555555 → {NEW}" in shown.text
    assert "better by +0.0120 (+0.0031 to +0.0209)" in shown.text
    champion = await chat.ask("/models 55555555")
    assert "Champion 20 Nov 12:00 – now, by Ann: approval 2" in champion.text
    assert [b.text for b in champion.buttons][2:] == ["🗃 All", "↩️ Roll back"]


async def test_a_damaged_model_and_one_that_is_not_there_are_sentences(chat: World) -> None:
    broken = entry("xgb-v2-66666666", state="damaged", damage="xgb-v2-66666666.json cannot be read")
    chat.desk.model_list = replace(ALL, models=(*ALL.models, broken))
    shown = await chat.ask("/models 66666666")

    assert "Damaged: xgb-v2-66666666.json cannot be read." in shown.text
    assert not any("Promote" in b.text for b in shown.buttons)
    assert (await chat.ask("/models nothing")).text == "✋ There is no model nothing; /models lists them"


async def test_the_promote_button_asks_and_a_viewer_may_not_press_it(chat: World) -> None:
    chat.desk.model_list = ALL
    shown = await chat.ask(f"/models {NEW}", VIEWER)
    tap = chat.phone.tap(VIEWER, shown.message_id, shown.button("Promote").callback_data)
    assert "operator" in (await chat.phone.wait_answer(tap))["text"]
    assert chat.desk.asked_for == []
    shown = await chat.ask(f"/models {NEW}", OPERATOR)
    chat.phone.tap(OPERATOR, shown.message_id, shown.button("Promote").callback_data)
    asked = await chat.phone.wait_for(lambda m: m.text.startswith("🗳 Approval 4"), chat_id=OPERATOR)

    assert asked.text.splitlines()[0] == f"🗳 Approval 4: may {NEW} take over?"
    assert chat.desk.asked_for == [NEW]


def states(chat: World) -> list[str]:
    return [chat.desk.approvals[number].state for number in (3, 4)]


async def test_a_promotion_card_is_answered_by_approvers_only_by_button_or_reply_and_once(chat: World) -> None:
    chat.desk.approvals[4] = replace(an_approval(4, "promote"), title=f"May {NEW} become champion?", model_id=NEW)
    chat.outbox.put(ApprovalAsked(key="approval:4", time=NOON, approval_id=4))
    card = await chat.phone.wait_for(lambda m: m.text.startswith(f"🗳 May {NEW} become champion?"))
    for user in (VIEWER, OPERATOR):
        own = await chat.ask("/version", user)  # a button with the same data, as a modified client can send it
        tap = chat.phone.tap(user, own.message_id, card.button("Approve").callback_data)
        assert (await chat.phone.wait_answer(tap))["show_alert"]
    assert states(chat) == ["pending", "pending"]
    chat.phone.say(1001, "yes", card.message_id)
    ended = await chat.phone.wait_for(lambda m: m.text.startswith("✅ Approved by You"))

    assert NEW in ended.text
    assert states(chat) == ["pending", "approved"]
    chat.phone.say(1001, "no", card.message_id)
    await chat.phone.wait_for(lambda m: m.text.startswith("✋ Approval 4 was approved by You before"))


async def test_a_rollback_says_what_it_would_do_and_is_done_by_its_button(chat: World) -> None:
    chat.desk.model_list, chat.desk.weight = ALL, 0.25
    asked = await chat.ask("/rollback", OPERATOR)
    assert asked.text.splitlines()[:2] == [
        f"↩️ Go back to {OLD}?",
        "It takes the place of xgb-v2-55555555 from the next candle on.",
    ]
    assert "The weight 0.25 ends" in asked.text
    assert chat.desk.model_list.champion == "xgb-v2-55555555"
    chat.phone.tap(OPERATOR, asked.message_id, asked.button("Go back").callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith(f"↩️ {OLD} is the champion again"), chat_id=OPERATOR)
    assert chat.desk.model_list.champion == OLD
    assert (await chat.ask("/rollback")).text == "✋ There is nothing to go back to"


async def test_a_viewer_may_not_ask_for_a_rollback(chat: World) -> None:
    assert (await chat.ask("/rollback", VIEWER)).text == "✋ /rollback needs an operator; you are a viewer."


async def test_ml_shows_the_champions_age_and_the_last_drift_look(chat: World) -> None:
    assert "Trained 4 days ago\nDrift: no look yet, 57 of 200" in (await chat.ask("/ml")).text


def test_a_comparison_is_as_narrow_as_a_phone() -> None:
    lines = comparison(better(OLD, NEW)).lines

    assert max(len(line) for line in lines) <= 38
    assert lines[1] == "Brier           0.2431     0.2311"
    assert comparison(None).lines == ()


async def test_the_card_of_a_training_shows_both_models_side_by_side(chat: World) -> None:
    chat.desk.training = replace(chat.desk.training, champion=False, comparison=better(OLD, "xgb-2"))
    await chat.ask("/retrain")
    done = await chat.phone.wait_for(lambda m: "a challenger; the champion stays" in m.text)

    assert "AUC               0.52       0.58" in done.text
    assert "120 signals   champion challenger" in done.text


async def test_a_models_pictures_are_a_tap_away_and_lead_back(chat: World) -> None:
    chat.desk.model_list = ALL
    shown = await chat.ask(f"/models {NEW}")
    assert [b.text for b in shown.buttons][:2] == ["🎯 Calibration", "🏋️ Importance"]
    chat.phone.tap(1001, shown.message_id, shown.button("Importance").callback_data)
    picture = await chat.phone.wait_for(lambda m: m.text.startswith("🏋️"))
    assert picture.media
    assert [b.text for b in picture.buttons] == ["🎯 Calibration", "🔎 Model"]
    wrong = await chat.ask(f"/models {NEW} weather")
    assert wrong.text.startswith("✋ 'weather' is neither calibration nor importance.\nUsage: /models")


async def test_promote_without_an_id_has_a_button_for_each_challenger(chat: World) -> None:
    chat.desk.model_list = ALL
    asked = await chat.ask("/promote")
    assert asked.text.startswith("🗳 Promote which model?")
    labels = [b.text for row in asked.keyboard for b in row]
    assert f"🗳 {NEW}" in labels
    assert f"🗳 {ALL.champion}" not in labels
    chat.desk.model_list = replace(ALL, models=(FIRST,), champion=FIRST.model_id)
    assert (await chat.ask("/promote")).text.startswith("🗳 No other model to promote")
