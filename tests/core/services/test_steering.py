"""Settings that a person changes at once: in force without a restart, kept over one, never a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError, UsageError
from core.services.views import Actor
from tests.offices import office

ANN = Actor(1001, "Ann", "operator")


async def test_a_change_counts_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.desk.topics.steering.set({"notify.signal": "none", "pairs.LINK/USDT.risk": 0.5}, ANN)
        await at.stage.loop.start()
        now = at.desk.topics.steering.settings
        assert (now.notify.signal, now.pairs[0].risk) == ("none", 0.5)
        [risk, *_] = await at.kept.chat.audit_rows()
        assert (risk["user_name"], risk["detail"]) == ("Ann", "pairs.LINK/USDT.risk: 1 → 0.5")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("notify.signal", "shout", "notify.signal 'shout' is not possible"),
        ("notify.quiet_hours", "25:00-26:00", "hours such as 22:00-07:00 are wanted"),
        ("pairs.LINK/USDT.risk", 3.0, "is not possible"),
        ("pairs.DOGE/USDT.risk", 1.0, "DOGE/USDT is not among the pairs"),
        ("exchange.base_url", "http://x", "cannot be changed from the chat"),
    ],
)
async def test_what_is_not_possible_is_a_sentence_and_changes_nothing(
    tmp_path: Path, name: str, value: object, words: str
) -> None:
    async with office(tmp_path) as at:
        before = at.desk.topics.steering.settings
        with pytest.raises(SettingsError, match=words):
            await at.desk.topics.steering.set({name: value}, ANN)
        assert at.desk.topics.steering.settings == before


async def test_rules_are_not_changed_without_an_approval_and_viewers_change_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        with pytest.raises(UsageError, match="by an approval"):
            await at.desk.topics.steering.set({"rules.btc": "veto"}, Actor(1, "Bob", "approver"))
        with pytest.raises(UsageError, match="viewer"):
            await at.desk.topics.steering.set({"notify.signal": "none"}, Actor(2, "Eve", "viewer"))


async def test_a_list_of_kinds_can_be_set_as_text(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        now = await at.desk.topics.steering.set({"notify.quiet_loud": "fault"}, ANN)
        assert now.notify.quiet_loud == ("fault",)
        assert (await at.desk.topics.steering.set({"notify.quiet_loud": "none"}, ANN)).notify.quiet_loud == ()
