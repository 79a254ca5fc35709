"""What is over and what still matters, by a table; and no story out of order, whatever waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    Event,
    ModelTrained,
    Notice,
    PairStopped,
    is_urgent,
)
from julaba_tg import away
from julaba_tg.ports import OutboxItem
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal, a_target


def waiting(*events: Event) -> list[OutboxItem]:
    """In the outbox's order: urgent first."""
    items = [OutboxItem(n, event, NOON, 0) for n, event in enumerate(events, start=1)]
    return sorted(items, key=lambda i: (not is_urgent(i.event), i.item_id))


def notice(topic: str, name: str = "feed", at: int = 1) -> Notice:
    key = f"{topic}:{name}:{at}"
    return Notice(key=key, time=NOON + timedelta(minutes=at), topic=topic, title=topic)  # type: ignore[arg-type]


asked, ended = ApprovalAsked(key="a", time=NOON, approval_id=3), ApprovalEnded(key="e", time=NOON, approval_id=3)


@pytest.mark.parametrize(
    ("event", "is_over"),
    [
        (a_signal(trade_id=7), True),
        (a_signal(trade_id=8), False),
        (a_refusal(), True),
        (a_target(8), True),
        (a_closing(7), True),
        (asked, True),
        (ApprovalAsked(key="b", time=NOON, approval_id=4), False),
        (ended, True),
        (PairStopped(key="p", time=NOON, pair="LINK/USDT", reason="gone"), False),
        (ModelTrained(key="m", time=NOON, model_id="x", champion=True, summary="s"), True),
        (notice("fault"), False),
        (Notice(key="hole:7:1", time=NOON, topic="fault", title="candles are missing"), False),
        (notice("breaker"), False),
        (notice("weight"), False),
        (notice("recovered"), True),
        (notice("started"), True),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_trades_that_closed_and_approvals_that_ended_are_over_what_stands_is_not(event: Event, is_over: bool) -> None:
    assert bool(away.over(waiting(event), closed={7}, ended={3})) == is_over


def test_a_fault_is_over_when_its_own_end_waits_behind_it() -> None:
    again = [notice("fault", at=1), notice("recovered", at=2), notice("fault", at=3)]
    other = [notice("fault", "disk", at=1), notice("recovered", at=2)]

    assert [i.item_id for i in away.over(waiting(*again), set(), set())] == [1, 2]
    assert [i.item_id for i in away.over(waiting(*other), set(), set())] == [2]


@pytest.mark.parametrize("key", ["fault:telegram:rival:1790000000000", "fault:feed:LINK/USDT:5"])
def test_a_fault_keeps_its_name_whatever_colons_are_in_it(key: str) -> None:
    event = Notice(key=key, time=NOON, topic="fault", title="x")

    assert away.fault_name(event) == key.removeprefix("fault:").rpartition(":")[0]


some_events = st.one_of(
    st.integers(1, 3).map(lambda n: a_signal(n, trade_id=n)),
    st.integers(1, 3).map(a_target),
    st.integers(1, 3).map(a_closing),
    st.integers(1, 5).map(a_refusal),
    st.builds(notice, st.sampled_from(["fault", "recovered"]), st.sampled_from(["feed", "disk"]), st.integers(1, 9)),
    st.sampled_from([asked, ended, notice("breaker"), notice("started")]),
)


@given(st.lists(some_events, min_size=1, max_size=25))
def test_told_one_by_one_each_story_is_in_order_and_what_is_urgent_waits_for_its_own_story_only(
    events: list[Event],
) -> None:
    items, told = waiting(*events), []
    while items:
        item = away.first(items)
        subject = away.subject_of(items[0].event)
        assert item is items[0] or away.subject_of(item.event) == subject
        told.append(item)
        items.remove(item)

    for subject in {away.subject_of(i.event) for i in told} - {None}:
        numbers = [i.item_id for i in told if away.subject_of(i.event) == subject]
        assert numbers == sorted(numbers)
