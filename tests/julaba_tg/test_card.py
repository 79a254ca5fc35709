"""Whatever the text: valid Telegram HTML, within the limits, and the same words in plain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.messages import Event, Notice
from core.services.people import Numbers
from julaba_tg import alerts
from julaba_tg.card import (
    CAPTION_LIMIT,
    TEXT_LIMIT,
    Block,
    Card,
    card,
    clean,
    html,
    plain,
    quote,
    section,
    table,
    units,
)
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal, a_target

UTC = ZoneInfo("UTC")
hostile = st.text(alphabet=st.characters(), max_size=300) | st.sampled_from(
    ["</b>", "<script>", "&lt;", "&", "]]>", "\u202eevil", "🧨" * 60, "a\nb", "\ud83d", "<blockquote", "x" * 5000, ""]
)
blocks = st.builds(Block, st.lists(hostile, max_size=30).map(tuple), st.sampled_from(["text", "pre", "quote"]))
cards = st.builds(Card, hostile, st.lists(blocks, max_size=8).map(tuple))


class TelegramReader(HTMLParser):
    """Reads HTML as strictly as Telegram: known tags, properly nested; collects the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.text = ""
        self.entities = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert (tag, attrs) in [("b", []), ("pre", []), ("blockquote", [("expandable", None)])]
        self.open.append(tag)
        self.entities += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert "<" not in data
        assert "&" not in data
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += {"lt": "<", "gt": ">", "amp": "&"}[name]

    def handle_charref(self, name: str) -> None:
        raise AssertionError(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")


def read(markup: str) -> TelegramReader:
    reader = TelegramReader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader


@given(cards, st.sampled_from([CAPTION_LIMIT, TEXT_LIMIT]))
def test_any_card_is_valid_html_within_the_limit(content: Card, limit: int) -> None:
    markup = html(content, limit)
    assert units(markup) <= limit
    reader = read(markup)
    assert reader.text.strip()
    assert reader.entities <= 100


@given(hostile, hostile, st.sampled_from([CAPTION_LIMIT, TEXT_LIMIT]))
def test_an_alert_is_valid_html_whatever_gemini_an_exchange_or_a_fault_says(one: str, two: str, limit: int) -> None:
    signal = a_signal(reason=one, gemini_reasoning=two, gemini_source=one, ml_note=two)
    fault = Notice(key="fault:x:1", time=NOON, topic="fault", title=one, detail=two)
    events: list[Event] = [signal, a_refusal(2, one), a_target(7, two), a_closing(), fault]
    drawn = [alerts.trade([signal], UTC), alerts.digest(events, UTC, timedelta(hours=1), [one]), alerts.undrawn(events)]
    drawn += [alerts.other(fault), alerts.fault_over(fault, fault, UTC)]
    for content in [*drawn, *map(alerts.again, drawn)]:
        assert units(html(content, limit)) <= limit
        assert read(html(content, limit)).text.strip()


numeric = st.lists(
    st.sampled_from(
        ["$1,234.50", "-0.25R", "1.5%", "12:30", "/ml 0.25", "<b>1.5</b>", "\u202e1.5", "x" * 900, "0.6.0", "&"]
    )
    | hostile,
    max_size=12,
).map(" ".join)
numeric_cards = st.builds(
    Card,
    numeric,
    st.lists(st.builds(Block, st.lists(numeric, max_size=8).map(tuple), st.sampled_from(["text", "pre", "quote"]))).map(
        tuple
    ),
)


@given(numeric_cards, st.sampled_from([60, CAPTION_LIMIT, TEXT_LIMIT]), st.sampled_from(["de", "fr"]))
def test_in_other_numbers_a_card_is_as_long_as_valid_and_as_safe(content: Card, limit: int, numbers: Numbers) -> None:
    markup = html(content, limit, numbers)
    english = html(content, limit)

    assert units(markup) == units(english) <= limit
    assert all(a == b or a in ",." for a, b in zip(english, markup, strict=True))
    assert read(markup).entities == read(english).entities


def test_what_is_seen_is_written_not_what_hides_in_it() -> None:
    assert plain(card("\u202a1.5\u202c%"), numbers="de") == "1,5%"


def test_a_number_cut_at_the_end_is_one_and_the_beginning_of_a_version_is_not() -> None:
    long = "x" * 20
    assert plain(card(f"{long} 1.5 and more of it"), 25, "de") == f"{long} 1,5…"
    assert plain(card(f"{long} 0.6.0 and more of it"), 25, "de") == f"{long} 0.6…"
    assert plain(card(f"{long} 1.23456.0 and more of it"), 25, "de") == f"{long} 1.2…"


@given(cards)
def test_what_may_come_twice_says_so_however_long_it_is(content: Card) -> None:
    assert alerts.AGAIN in plain(alerts.again(replace(content, title=content.title[:200])), CAPTION_LIMIT)


@given(cards, st.sampled_from([CAPTION_LIMIT, TEXT_LIMIT]))
def test_the_plain_form_fits_too(content: Card, limit: int) -> None:
    assert 1 <= units(plain(content, limit)) <= limit


@given(cards)
def test_plain_and_html_say_the_same_when_nothing_is_cut(content: Card) -> None:
    markup = html(content, 1_000_000)
    assert read(markup).text == plain(content, 1_000_000)


@given(st.text(alphabet=st.characters()))
def test_a_cleaned_line_is_one_line_that_can_be_encoded(line: str) -> None:
    assert len(clean(line).encode().splitlines()) <= 1


def test_cutting_keeps_whole_emoji_and_says_that_it_cut() -> None:
    assert html(card("🧨" * 20), limit=7 + 10).removeprefix("<b>").removesuffix("</b>") == "🧨🧨🧨🧨…"


def test_what_does_not_fit_is_left_out_from_the_end() -> None:
    content = card("title", table(["first", "second"]), quote(["x" * 5000]))
    assert html(content, 60).startswith("<b>title</b>\n<pre>first\nsecond</pre>")


@pytest.mark.parametrize("title", ["", "   ", "\u202e", "\n"])
def test_a_card_is_never_empty(title: str) -> None:
    assert html(card(title)) == "<b>–</b>"


@pytest.mark.parametrize("title", ["", " \t", "\u200b" * 50, "\ufeff\u2066", "\n\n"])
def test_a_first_line_that_nobody_could_see_is_a_dash(title: str) -> None:
    assert plain(card(title, "below")) == "–\nbelow"


def test_a_block_is_not_begun_for_an_ellipsis() -> None:
    for length in range(960, 1024):
        shown = html(card("title", quote(["x" * length]), section(["behind it all"])), CAPTION_LIMIT)
        assert not shown.endswith("\n…")
