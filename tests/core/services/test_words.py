"""Questions in words on a real ledger: which looks there are, what they cost, and which figures are true."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.ports import Inquiry, Look, Told
from core.services.advice import WARN_AT
from core.services.tokens import DayTokens, WordsCost, words_cost
from core.services.words import MOST_DRAFTS, SHARE, Question, Words
from core.services.words_figures import MOST_BYTES, Figures, figures_in, rewritten, shrunk
from core.services.words_tools import LOOKS, wanted_of
from tests.ledgers import books, settings
from tests.offices import office

BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class Speaker:
    """A conversation that takes these looks and then says this."""

    looks: Sequence[tuple[str, Mapping[str, object]]] = ()
    says: str | Callable[[list[Mapping[str, Any]]], str] = "Nothing."
    costs: tuple[int, int] = (900, 60)
    reason: str = ""
    asked: list[Inquiry] = field(default_factory=list)
    saw: list[Mapping[str, Any]] = field(default_factory=list)

    async def ask(self, inquiry: Inquiry, look: Look, patience: float) -> Told:
        self.asked.append(inquiry)
        self.saw = [await look(name, arguments) for name, arguments in self.looks]
        text = "" if self.reason else self.says if isinstance(self.says, str) else self.says(self.saw)
        return Told(text, self.reason, *self.costs)


@dataclass
class Only:
    """Commands that may be offered: these."""

    lines: tuple[str, ...] = ("/pause", "/resume", "/status")
    listing: str = "/pause: no new trades"

    def refusal(self, line: str) -> str:
        return "" if line in self.lines else "there is no such command"


async def answered(path: Path, speaker: Speaker, words: str = "how is it going?", about: str = "") -> Any:
    async with office(path, talk=speaker) as at:
        await at.played()
        return await at.desk.topics.words.answer(Question(words, about), BERLIN, Only())


async def test_every_look_there_is_can_be_taken_and_is_small(tmp_path: Path) -> None:
    speaker = Speaker([(kind.name, {"pair": "LINK", "days": 30}) for kind in LOOKS])
    view = await answered(tmp_path, speaker)

    assert [source.name for source in view.sources] == [kind.name for kind in LOOKS]
    for kind, seen in zip(LOOKS, speaker.saw, strict=True):
        assert "error" not in seen, kind.name
        assert 2 < len(json.dumps(seen)) <= MOST_BYTES, kind.name


async def test_trades_are_those_of_the_pair_and_the_days_with_their_totals(tmp_path: Path) -> None:
    speaker = Speaker([("trades", {}), ("trades", {"pair": "link", "n": 1}), ("trades", {"pair": "BTC", "days": 7})])
    await answered(tmp_path, speaker)

    everything, link, none = speaker.saw
    assert everything["closed_trades"] == everything["wins"] + everything["losses"] >= 1
    listed = everything["newest_first"]
    rows = listed if isinstance(listed, list) else listed["first"]
    if len(rows) == everything["closed_trades"]:
        assert everything["net_pnl_usdt"] == pytest.approx(sum(r["pnl"] for r in rows), abs=0.1)
    assert link["pair"] == "LINK/USDT"
    assert len(link.get("newest_first", [])) <= 1
    assert none["closed_trades"] == 0


async def test_signals_say_why_they_were_refused(tmp_path: Path) -> None:
    speaker = Speaker([("signals", {"days": 30, "n": 10})])
    await answered(tmp_path, speaker)

    (seen,) = speaker.saw
    assert seen["signals"] == sum(seen["by_status"].values()) >= 1
    assert all({"number", "pair", "status"} <= set(row) for row in seen["newest_first"])


async def test_what_cannot_be_looked_at_is_a_sentence_and_no_source(tmp_path: Path) -> None:
    wrong: list[tuple[str, Mapping[str, object]]] = [
        ("rm_rf", {}),
        ("why", {"number": 99_999}),
        ("trades", {"pair": "'; DROP TABLE"}),
        ("status", {"x": []}),
    ]
    speaker = Speaker(wrong)
    view = await answered(tmp_path, speaker)

    assert [sorted(seen)[0] for seen in speaker.saw[:3]] == ["error"] * 3
    assert "there is no such look" in speaker.saw[0]["error"]
    assert [source.name for source in view.sources] == ["status"]


async def test_a_view_that_breaks_is_said_to_be_out_of_reach(tmp_path: Path) -> None:
    speaker = Speaker([("pairs", {})])
    async with office(tmp_path, talk=speaker) as at:
        at.desk.pairs = None  # type: ignore[method-assign,assignment]
        await at.desk.topics.words.answer(Question("pairs?"), BERLIN, Only())

    assert speaker.saw == [{"error": "that cannot be looked at now"}]


async def test_the_figures_of_an_answer_are_named_with_where_they_stand(tmp_path: Path) -> None:
    def says(saw: list[Mapping[str, Any]]) -> str:
        return f"Equity is {saw[0]['equity']:,.2f} USDT, and {saw[1]['closed_trades']} trades have closed."

    speaker = Speaker([("status", {}), ("trades", {"days": 30})], says)
    view = await answered(tmp_path, speaker)

    assert view.doubts == ()
    status, trades = view.sources
    assert status.figures[0].startswith("equity ")
    assert (trades.name, trades.arguments) == ("trades", "30 days")
    assert f"closed trades {speaker.saw[1]['closed_trades']}" in trades.figures


async def test_a_figure_that_stands_in_no_book_is_named(tmp_path: Path) -> None:
    speaker = Speaker([("status", {})], "You made $98,765.43 on 4,321 trades, and 77% of them won; you asked for 12.")
    view = await answered(tmp_path, speaker, "what of my 12 trades?")

    assert view.doubts == ("$98,765.43", "4,321", "77%")


async def test_figures_of_the_message_that_was_answered_are_known(tmp_path: Path) -> None:
    speaker = Speaker(says="It paid 17.48 for it.")
    view = await answered(tmp_path, speaker, "why?", about="LINK LONG 17.48 · risk $120")

    assert view.doubts == ()
    assert "LINK LONG 17.48" in speaker.asked[0].question


async def test_a_long_question_is_cut_and_the_instructions_say_whose_time_it_is(tmp_path: Path) -> None:
    speaker = Speaker()
    await answered(tmp_path, speaker, "why " * 1000)

    (inquiry,) = speaker.asked
    assert len(inquiry.question) == 500
    assert "Times are in Europe/Berlin" in inquiry.instructions
    assert "/pause: no new trades" in inquiry.instructions
    assert (inquiry.rounds, inquiry.looks) == (4, 8)


async def test_only_commands_that_may_be_offered_are_drafted_and_only_few(tmp_path: Path) -> None:
    lines = ["/pause", "  pause ", "/close LINK token 9", "", "/resume", "/status"]
    speaker = Speaker([("draft_command", {"line": line}) for line in lines] + [("draft_command", {})])
    view = await answered(tmp_path, speaker, "pause it")

    assert view.drafts == ("/pause", "/resume")
    assert len(view.drafts) == MOST_DRAFTS
    offered = [seen.get("offered", seen.get("error")) for seen in speaker.saw]
    assert offered == [
        "/pause",
        "/pause",
        "there is no such command",
        "there is no such command",
        "/resume",
        "there are enough buttons",
        "there is no such command",
    ]
    assert view.sources == (), "offering is no look into the books"


async def test_without_a_key_nobody_is_asked(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        assert not at.desk.topics.words.present
        view = await at.desk.topics.words.answer(Question("hello?"), BERLIN, Only())
    assert view.reason == "Gemini is off"


# -- tokens --


async def test_words_get_a_third_of_the_day_and_nothing_of_its_last_part(tmp_path: Path) -> None:
    clock = ReplayClock(datetime(2026, 11, 21, 12, tzinfo=UTC))
    conf = Settings.model_validate({"gemini": {"daily_tokens": 9_000}}).gemini
    async with books(tmp_path) as kept:
        tokens = DayTokens(clock, kept.ledger)
        speaker = Speaker(costs=(1_400, 100))
        words = Words(conf, kept.ledger, tokens, speaker, lambda: None)  # type: ignore[arg-type,return-value]

        async def reason() -> str:
            return (await words.answer(Question("?"), BERLIN, Only())).reason

        assert [await reason() for _ in range(3)] == ["", "", "today's tokens for questions are spent"]
        assert await tokens.spent() == 3_000 >= SHARE * 9_000

        again = DayTokens(clock, kept.ledger)  # a restart forgets nothing
        words = Words(conf, kept.ledger, again, speaker, lambda: None)  # type: ignore[arg-type,return-value]
        assert await reason() == "today's tokens for questions are spent"

        clock.advance(datetime(2026, 11, 22, 0, 0, tzinfo=UTC))
        await again.add(int(WARN_AT * 9_000) + 1)
        assert await reason() == "the rest of today's tokens is kept for signals"
        assert len(speaker.asked) == 2
        assert await words_cost(kept.ledger) == WordsCost("2026-11-21", 3_000, 2, 2_800, 200)


async def test_answers_that_failed_count_too_and_opinions_see_them(tmp_path: Path) -> None:
    clock = ReplayClock(datetime(2026, 11, 21, 12, tzinfo=UTC))
    async with books(tmp_path) as kept:
        tokens = DayTokens(clock, kept.ledger)
        speaker = Speaker(reason="the answer was withheld (SAFETY)", costs=(70, 7))
        words = Words(settings().gemini, kept.ledger, tokens, speaker, lambda: None)  # type: ignore[arg-type,return-value]
        view = await words.answer(Question("?"), BERLIN, Only())

        assert view.reason == "the answer was withheld (SAFETY)"
        assert await tokens.spent() == 77
        assert await kept.ledger.mark("gemini_tokens") == "2026-11-21 77"


# -- figures --

SEEN = {
    "equity": 10_240.53,
    "day_pnl_usdt": -31.2,
    "win_rate": 0.3714,
    "closed_trades": 3,
    "duration_minutes": 190,
    "time": "2026-11-21 12:05",
    "rows": [{"pnl": 84.2}, {"pnl": -3.1}],
    "reason": "ADX 19 is below 25",
    "model": "xgb-v2-81ca5d5e",
}


@pytest.mark.parametrize(
    "text",
    [
        "10,240.53", "10.240,53 USDT", "10'240", "10 240,53", "$10.2k", "10,200", "$10,240.5", "37%", "37.1 %",
        "37,1 Prozent", "-31.20", "31", "3 trades", "3.2 hours", "190 minutes", "21 Nov", "12:05", "21.11.2026",
        "+84.2", "ADX 19, not 25", "TP1 and SMA15", "xgb-v2-81ca5d5e", "7 days", "2 rows", "3h10",
    ],
)  # fmt: skip
def test_figures_that_are_from_the_books(text: str) -> None:
    known = Figures("what of the 7 days?", [SEEN])
    assert [f.text for f in figures_in(text) if known.source(f) is None] == []


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("10,300", ["10,300"]),
        ("10,240.54", ["10,240.54"]),
        ("38%", ["38%"]),
        ("371%", ["371%"]),
        ("+31.20", ["+31.20"]),
        ("4 trades", ["4"]),
        ("14:30", ["14:30"]),
        ("22 trades", ["22"]),
        ("$21", ["$21"]),
        ("99", ["99"]),
        ("$1,234 of 6", ["$1,234", "6"]),
        ("0.5", ["0.5"]),
    ],
)
def test_figures_that_are_not(text: str, doubted: list[str]) -> None:
    known = Figures("what of the 7 days?", [SEEN])
    assert [f.text for f in figures_in(text) if known.source(f) is None] == doubted


@given(st.floats(0.01, 1e7), st.integers(0, 4), st.sampled_from(["en", "de", "fr", "bare"]))
def test_a_figure_rounded_and_written_in_any_way_is_found_and_read_aright(value: float, digits: int, way: str) -> None:
    written = f"{value:,.{digits}f}"
    swapped = {
        "en": written,
        "de": written.translate(str.maketrans(",.", ".,")),
        "fr": written.replace(",", " ").replace(".", ","),
        "bare": f"{value:.{digits}f}",
    }[way]
    known = Figures("", [{"x": value}])
    found = [known.source(f) for f in figures_in(f"It is {swapped}.")]
    if digits == 0 and value < 10 and value != round(value):
        return  # a bare digit has to stand in the books as it is
    assert [f.seen.name for f in found if f] == ["x"], swapped
    again = rewritten(f"It is {swapped}.", [f for f in found if f])
    assert again.replace(",", "") == f"It is {value:.{digits}f}."


@given(st.integers(10, 10**6), st.integers(10, 10**6))
def test_a_whole_number_of_no_book_is_doubted(said: int, known: int) -> None:
    zeros = len(str(said)) - len(str(said).rstrip("0"))
    near = abs(said - known) <= 0.5 * 10 ** min(zeros, max(0, len(str(said)) - 2))
    found = [Figures("", [{"x": known}]).source(f) for f in figures_in(f"{said}")]
    assert (found[0] is not None) == near


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=400) | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=9), inner, max_size=20),
        max_leaves=200,
    )
)
def test_any_view_becomes_small_json(view: object) -> None:
    found = shrunk(view, BERLIN)
    assert len(json.dumps(found, allow_nan=False)) <= MOST_BYTES + 60


def test_times_are_told_in_the_zone_of_whoever_asks_and_pictures_are_left_out() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert shrunk({"at": noon, "picture": b"\x89PNG", "none": None, "n": float("nan")}, BERLIN) == {
        "at": "2026-11-21 13:00"
    }


@given(st.dictionaries(st.sampled_from(["pair", "days", "n", "number"]), st.none() | st.integers() | st.floats()))
def test_numbers_asked_with_are_held_within_bounds(arguments: dict[str, object]) -> None:
    wanted = wanted_of({k: v for k, v in arguments.items() if k != "pair"})
    assert 1 <= wanted.n <= 10
    assert wanted.days is None or 1 <= wanted.days <= 366
    assert wanted.number is None or wanted.number >= 1
