"""The stories: exactly one for each local day, whatever its clocks do, and words that can be checked by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.adapters.sqlite_models import SqliteModels
from core.config import Settings
from core.domain.candles import Pair, to_ms
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.messages import Digest
from core.domain.trading import Direction, ExitReason, FollowKind, Ruling, Verdict
from core.ml.forecast import Forecast, Seen, forecast
from core.ports import Outcome
from core.services.bus import Bell
from core.services.changes import changed
from core.services.people import People
from core.services.stories import LATEST, Stories, owner_zone
from core.services.story_times import last_moment, moment_on, weekly
from core.services.story_words import Facts, Span, lines, noise, refused_by, title
from tests.fakes.people import fake_people
from tests.lived import signal
from tests.offices import ANN, LAST, Office, _no_outlook, office

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata",
         "Africa/Casablanca", "Pacific/Apia", "Asia/Gaza", "America/Scoresbysund")  # fmt: skip
HOUR = timedelta(hours=1)


# When


def walked(first: datetime, hours: int, at: time, zone: ZoneInfo) -> list[date]:
    """The days whose moment came during so many hours, each as often as it was found to be a new one."""
    found: list[date] = []
    for quarter in range(4 * hours):
        due = last_moment(first + quarter * HOUR / 4, at, zone)
        assert due is not None
        if not found or due[0] != found[-1]:
            found.append(due[0])
    return found


@settings(deadline=None, max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    at=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    start=st.datetimes(datetime(2011, 12, 20), datetime(2027, 3, 1)),  # noqa: DTZ001 - made aware below
)
@example("Europe/Berlin", time(2, 30), datetime(2026, 3, 27))  # noqa: DTZ001
@example("Europe/Berlin", time(2, 30), datetime(2026, 10, 23))  # noqa: DTZ001
@example("America/New_York", time(2, 30), datetime(2026, 3, 6))  # noqa: DTZ001
@example("Pacific/Apia", time(20, 0), datetime(2011, 12, 28))  # noqa: DTZ001
@example("America/Scoresbysund", time(0, 0), datetime(2024, 3, 29))  # noqa: DTZ001
def test_exactly_one_moment_for_each_local_day(zone: str, at: time, start: datetime) -> None:
    here, first = ZoneInfo(zone), start.replace(tzinfo=UTC)
    days = walked(first, 120, at, here)
    every = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    left_out = {date(2011, 12, 30)} if zone == "Pacific/Apia" else set()
    lived = [day for day in every if day not in left_out]
    assert days == lived
    assert len(days) >= 5


def test_a_time_that_is_skipped_comes_after_the_skip() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = moment_on(date(2026, 3, 29), time(2, 30), berlin)
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert moment.astimezone(berlin).time() == time(3, 30)


def test_a_time_that_comes_twice_counts_once() -> None:
    assert moment_on(date(2026, 10, 25), time(2, 30), ZoneInfo("Europe/Berlin")) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )


def test_a_day_that_is_left_out_has_no_moment() -> None:
    assert moment_on(date(2011, 12, 30), time(20, 0), ZoneInfo("Pacific/Apia")) is None


def test_a_week_is_due_on_its_day() -> None:
    assert weekly("sun 18:00") == (6, time(18, 0))
    due = last_moment(datetime(2026, 11, 21, 12, tzinfo=UTC), time(18, 0), ZoneInfo("UTC"), 6)
    assert due == (date(2026, 11, 15), datetime(2026, 11, 15, 18, tzinfo=UTC))


# Told once


@dataclass
class Teller:
    """The stories of an office whose wishes and zone a test changes."""

    at: Office
    wishes: Settings
    zone: str = "UTC"
    stories: Stories = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        async def zone() -> ZoneInfo:
            return ZoneInfo(self.zone)

        stage, kept = self.at.stage, self.at.kept
        self.stories = Stories(
            lambda: self.wishes, zone, stage.clock, kept.ledger, stage.loop, Bell(), SqliteModels(kept.db), _no_outlook
        )

    def wish(self, **notify: object) -> None:
        self.wishes = changed(self.wishes, {f"notify.{k}": v for k, v in notify.items()})

    async def until(self, moment: datetime, step: timedelta = HOUR / 2) -> None:
        """Time goes on, looked at every half hour."""
        while self.at.stage.clock.now() < moment:
            self.at.stage.clock.advance(min(moment, self.at.stage.clock.now() + step))
            await self.stories.review()

    async def told(self, span: Span = "day") -> list[Digest]:
        events = [item.event for item in await self.at.kept.chat.pending(10_000)]
        return [e for e in events if isinstance(e, Digest) and e.span == span]

    async def days(self, span: Span = "day") -> list[str]:
        return [e.key.rpartition(":")[2] for e in await self.told(span)]


@asynccontextmanager
async def a_teller(path: Path) -> AsyncIterator[Teller]:
    """After ten days of candles, at 9:00 on Wednesday 10 January 2024."""
    async with office(path) as at:
        await at.played()
        teller = Teller(at, at.desk.topics.steering.settings)
        assert at.stage.clock.now() == datetime(2024, 1, 10, 9, 0, tzinfo=UTC)
        yield teller


async def test_each_day_is_told_once_also_over_restarts(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        for day in (11, 12, 13):
            await teller.until(datetime(2024, 1, day, 21, tzinfo=UTC))
            teller.restart()
            await teller.stories.review()
        assert await teller.days() == ["2024-01-10", "2024-01-11", "2024-01-12", "2024-01-13"]


async def test_the_week_is_told_on_its_day(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        await teller.until(datetime(2024, 1, 22, tzinfo=UTC), step=4 * HOUR)
        weeks = await teller.told("week")
    assert [w.key for w in weeks] == ["digest:week:2024-01-14", "digest:week:2024-01-21"]
    assert weeks[0].title.startswith("The week to Sun 14 Jan: ")
    assert (weeks[1].since, weeks[1].time) == (weeks[0].time, datetime(2024, 1, 21, 18, tzinfo=UTC))


async def test_nothing_is_told_where_nothing_is_wished(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        teller.wish(daily_at="", weekly_at="")
        await teller.until(datetime(2024, 1, 16, tzinfo=UTC), step=6 * HOUR)
        assert await teller.told() == await teller.told("week") == []


@pytest.mark.parametrize(("late", "days"), [(LATEST - HOUR, ["2024-01-10"]), (LATEST, [])])
async def test_after_a_while_without_the_bot_it_is_told_late_or_not_at_all(
    tmp_path: Path, late: timedelta, days: list[str]
) -> None:
    async with a_teller(tmp_path) as teller:
        teller.at.stage.clock.advance(datetime(2024, 1, 10, 20, tzinfo=UTC) + late)
        await teller.stories.review()
        await teller.stories.review()
        told = await teller.told()
    assert [e.key.rpartition(":")[2] for e in told] == days
    assert all(e.lines[-1] == "Told late: I was not there at 20:00 that day." for e in told)
    assert all(e.title.startswith("Wed 10 Jan: ") for e in told)


async def test_a_story_in_time_does_not_say_that_it_is_late(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        await teller.until(datetime(2024, 1, 10, 21, tzinfo=UTC), step=HOUR / 60)
        [story] = await teller.told()
    assert not any("late" in line for line in story.lines)


async def test_a_moment_whose_close_is_not_handled_is_waited_for(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        teller.at.stage.clock.advance(datetime(2024, 1, 10, 20, 0, 5, tzinfo=UTC))
        await teller.stories.review()
        assert await teller.told() == []
        teller.at.stage.loop.last_close = to_ms(datetime(2024, 1, 10, 20, tzinfo=UTC))
        await teller.stories.review()
        assert await teller.days() == ["2024-01-10"]


async def test_before_the_first_candle_there_is_no_story(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        teller = Teller(at, at.desk.topics.steering.settings)
        await teller.until(at.stage.clock.now() + 3 * 24 * HOUR)
        assert await teller.told() == []


async def test_a_new_zone_or_time_tells_no_day_twice_and_leaves_no_trade_out(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        await teller.until(datetime(2024, 1, 10, 21, tzinfo=UTC))
        teller.zone = "Asia/Tokyo"
        await teller.until(datetime(2024, 1, 12, 3, tzinfo=UTC))
        teller.zone = "America/Los_Angeles"
        await teller.until(datetime(2024, 1, 12, 21, tzinfo=UTC))
        teller.wish(daily_at="06:00")
        await teller.until(datetime(2024, 1, 15, tzinfo=UTC))
        told = await teller.told()
    days = [e.key for e in told]
    assert len(days) == len(set(days))
    assert all(later.since == earlier.time for earlier, later in pairwise(told))


@settings(deadline=None, max_examples=8)
@given(zones=st.lists(st.sampled_from(ZONES), min_size=2, max_size=5), at=st.sampled_from(["20:00", "02:30", "00:00"]))
async def test_whatever_the_zones_stories_follow_each_other_without_a_gap(
    tmp_path_factory: pytest.TempPathFactory, zones: list[str], at: str
) -> None:
    async with a_teller(tmp_path_factory.mktemp("zones")) as teller:
        teller.wish(daily_at=at, weekly_at="")
        for number, zone in enumerate(zones):
            teller.zone = zone
            await teller.until(datetime(2024, 1, 11, tzinfo=UTC) + number * 30 * HOUR, step=3 * HOUR)
        told = await teller.told()
    keys = [e.key for e in told]
    assert keys == sorted(set(keys))
    assert all(earlier.time <= later.since for earlier, later in pairwise(told))


async def test_the_owner_is_whose_private_chat_the_alerts_go_to() -> None:
    people: People = fake_people()
    await people.wish(ANN, zone="Asia/Tokyo")
    private = Settings.model_validate({"access": {"users": {ANN.user_id: "approver"}}, "timezone": "Europe/Berlin"})
    group = Settings.model_validate({"telegram": {"chat_id": -100}, "access": {"users": {ANN.user_id: "approver"}}})
    assert (await owner_zone(private, people)()).key == "Asia/Tokyo"
    assert (await owner_zone(group, people)()).key == people.usual.zone


# Words


async def test_a_lived_week_is_told_with_every_figure_from_the_ledger(tmp_path: Path) -> None:
    async with a_teller(tmp_path) as teller:
        story = await teller.stories.now("week")
        trades = await teller.at.kept.ledger.closed_trades()
        week = [t for t in trades if (t.follow.exit_time or 0) + 900_000 > to_ms(story.since)]
    won, pnl = sum(t.pnl > 0 for t in week), sum(t.pnl for t in week)
    total = sum(t.r_net or 0 for t in week)
    assert story.title.startswith("The last 7 days: ")
    assert f"{len(week)} trades closed, {won} won: -${-pnl:,.0f}, {total:+.2f}R net" in story.lines[0]
    assert any(line.startswith("Refused by filter regime: ") for line in story.lines)
    assert LAST == 900


async def test_a_story_knows_no_more_than_was_known_at_its_end(tmp_path: Path) -> None:
    """Told hours late, what has ended since then belongs to the next story."""
    async with a_teller(tmp_path) as teller:
        ledger, until = teller.at.kept.ledger, datetime(2024, 1, 8, 20, tzinfo=UTC)
        facts = await teller.stories._facts("week", to_ms(until - timedelta(days=7)), to_ms(until))
        rows = await ledger.trade_rows()
    ended = {r.decision.decision_id: r.follow.follow.exit_time for r in rows if r.follow.follow.exit_time is not None}
    decided = {d.decision_id for d in facts.decisions}
    later = {n for n in decided if n in ended and ended[n] + 900_000 > to_ms(until)}
    assert later
    assert decided & set(facts.follows) == {n for n in decided if n in ended} - later


BTC = Verdict("rules", "btc", Ruling.REFUSE, 0.9, "BTC 1h down")
ADX = Verdict("signal", "adx", Ruling.REFUSE, 18.0, "ADX 18 below 25")
SEEN = forecast(Seen(20, 5, 20, 10.0, 3), datetime(2026, 11, 21, tzinfo=UTC), Settings().gate)


def refused(number: int, gross: float, verdict: Verdict, exit_reason: ExitReason | None = ExitReason.TIMEOUT) -> tuple[
    DecisionRecord, FollowRecord
]:  # fmt: skip
    decision, follow = signal(number, gross, exit_reason=exit_reason)
    return replace(decision, verdicts=(verdict,), is_signal=verdict is BTC), follow


def facts(*rows: tuple[DecisionRecord, FollowRecord], span: Span = "week", ahead: Forecast | None = SEEN) -> Facts:
    closed = tuple(f for _, f in rows if f.kind is FollowKind.TRADE)
    return Facts(
        span=span, since=0, until=10**13, equity=10_240.0, change=31.2, open_trades=1, closed=closed,
        decisions=tuple(d for d, _ in rows), follows={d.decision_id: f for d, f in rows}, outcomes=(), known=20,
        champion="xgb-1", new_champion=False, forecast=ahead,
    )  # fmt: skip


def test_a_week_says_who_refused_what_and_what_that_would_have_made() -> None:
    rows = [refused(n, 1.2, BTC) for n in range(3)] + [refused(9, 0.0, BTC, None)] + [refused(4, -0.8, ADX)]
    told = lines(facts(*rows))
    assert "4 signals: 4 refused (BTC 4)." in told
    assert "Refused by BTC: 4 (3 have ended), they would have made +3.00R." in told
    assert "Refused by filter ADX: 1, they would have made -1.00R." in told
    assert "4 results are luck, not evidence." in told


def test_a_day_counts_what_the_filters_stopped_and_says_how_far_the_next_look_is() -> None:
    told = lines(facts(refused(1, 1.0, BTC), refused(2, 1.0, ADX), refused(3, 1.0, ADX), span="day"))
    assert told[0] == "No trade closed, 1 open now."
    assert "The filters stopped 2 crossovers: ADX 2." in told
    assert told[-1].startswith("First look that could say yes: in 80 outcomes, about 39 days: 30 Dec 2026 (±")
    assert not any("would have made" in line for line in told)


def test_without_an_outlook_or_a_date_nothing_is_made_up() -> None:
    unknown = forecast(Seen(0, 0, 0, 0.0, 3), datetime(2026, 11, 21, tzinfo=UTC), Settings().gate)
    assert lines(facts(span="day", ahead=None))[-1] == "No signal."
    assert lines(facts(span="day", ahead=unknown))[-1].endswith("when that is cannot be told yet.")


def test_the_flips_of_the_model_are_told_where_it_spoke() -> None:
    told = lines(replace(facts(), flips=(2, -0.4), flip_weight=0.5, new_champion=True))
    assert "With the model at 50% 2 signals would have gone the other way, -0.40R." in told
    assert "New champion: xgb-1." in told
    assert not any("With the model" in line for line in lines(facts()))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([1.0], "1 result is luck, not evidence."),
        ([1.0, -1.0] * 5, "Together +0.00R each, give or take 0.65R over 10: luck alone does that."),
        ([1.0, 1.1] * 5, "Together +1.05R each, give or take 0.03R over 10: more than luck usually does, but one week "
                         "proves nothing."),
    ],
)  # fmt: skip
def test_luck_is_called_luck(made: list[float], words: str) -> None:
    assert noise(made) == words


def test_who_refused_is_named_by_the_first_no() -> None:
    decision = signal(1)[0]
    gemini = Verdict("gemini", "gemini", Ruling.REFUSE, 0.2, "no")
    assert refused_by(replace(decision, verdicts=(*decision.verdicts, gemini, BTC))) == "Gemini"
    assert refused_by(replace(decision, verdicts=(), reason="the pair is off")) == "the pair is off"


@pytest.mark.parametrize(
    ("sentence", "who"),
    [
        ("Ann said no", "a person"),
        ("nobody answered in time", "silence"),
        ("the price has reached the stop 17.2 since", "a late yes"),
    ],
)
def test_a_trade_without_a_yes_was_refused_by_what_became_of_its_card(sentence: str, who: str) -> None:
    no = Verdict("approval", "person", Ruling.REFUSE, None, sentence)
    decision, _ = signal(1)
    assert refused_by(replace(decision, verdicts=(*decision.verdicts, no))) == who


def test_the_title_says_all_that_a_locked_phone_shows() -> None:
    assert title(facts(), "Sat 21 Nov") == "Sat 21 Nov: +$31.20 · equity $10,240 · no trades"
    assert title(replace(facts(), change=-0.4), "Sat 21 Nov").startswith("Sat 21 Nov: -$0.40 · ")


def test_a_pair_is_named_by_its_coin() -> None:
    decision, follow = signal(1, 2.0, status="taken")
    trade = replace(follow, kind=FollowKind.TRADE, pair=Pair.parse("ETH/USDT"), pnl=20.0)
    told = lines(facts((decision, trade), (replace(decision, decision_id=2), replace(trade, follow_id=2, r_net=-1.0))))
    assert any(line == "Best ETH LONG +1.80R, worst ETH LONG -1.00R." for line in told)


def test_the_model_is_right_where_its_chance_and_the_result_are_on_the_same_side() -> None:
    cases = [(0.7, 1.2), (0.3, -1.0), (0.6, -1.0), (0.4, 0.5), (None, 1.0)]
    made = tuple(Outcome(0, "15m", "LINK/USDT", Direction.LONG, p, None, False, 1, r, 0) for p, r in cases)
    told = lines(replace(facts(), outcomes=made))
    assert "5 outcomes to learn from, 20 in all; the model spoke on 4 and was right on 2." in told
