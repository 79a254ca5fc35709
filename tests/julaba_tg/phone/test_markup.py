"""Telegram's HTML: what it means, what is refused, and that hostile text never becomes anything but text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from julaba_tg.phone.markup import Entity, MarkupError, Node, RichText, parse_html, plain, tree, utf16_length

CASES = [
    ("<b>x</b>", "x", [("bold", 0, 1)]),
    ("🚀 <i>y</i>", "🚀 y", [("italic", 3, 1)]),
    ("a &lt;b&gt; &amp;amp; &quot;&#33;&#x21;", 'a <b> &amp; "!!', []),
    ("&nbsp; &x", "&nbsp; &x", []),
    ("<B>x</B>", "x", [("bold", 0, 1)]),
    ("<b><i>x</i>y</b>", "xy", [("bold", 0, 2), ("italic", 0, 1)]),
    ("<pre><code class='language-py'>x</code></pre>", "x", [("pre", 0, 1)]),
    ("<code>a <b>b</b> /status</code>", "a b /status", [("code", 0, 11)]),
    ("<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", 0, 1)]),
    ("<span class=tg-spoiler>s</span><tg-spoiler>t</tg-spoiler>", "st", [("spoiler", 0, 1), ("spoiler", 1, 1)]),
    ("<a href='https://x.y/?a=1&amp;b=2'>z</a>", "z", [("text_link", 0, 1)]),
    ("<a href='javascript:alert(1)'>z</a>", "z", []),
    ('<tg-time unix="1700000000" format="r">then</tg-time>', "then", [("date_time", 0, 4)]),
    ("  <u> x </u>  ", "x", [("underline", 0, 1)]),
    ("see /status and LINK/USDT", "see /status and LINK/USDT", [("bot_command", 4, 7)]),
    ("<b></b>x", "x", []),
]


@pytest.mark.parametrize(("source", "text", "entities"), CASES)
def test_html_becomes_text_and_entities(source: str, text: str, entities: list[tuple[str, int, int]]) -> None:
    rich = parse_html(source)
    assert (rich.text, [(e.type, e.offset, e.length) for e in rich.entities]) == (text, entities)


REFUSED = [
    ("P&L <5%", "Unclosed start tag at byte offset 4"),
    ("P&L <5% > x", 'Unsupported start tag "5%" at byte offset 4'),
    ("é<x>", 'Unsupported start tag "x" at byte offset 2'),
    ("<script>alert(1)</script>", "Unsupported start tag"),
    ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
    ("x</b>", "Unexpected end tag at byte offset 1"),
    ("<b><i>x</b></i>", 'expected "</i>", found "</b>"'),
    ("<b", "Unclosed start tag"),
    ("<b>x</b", "Unclosed end tag"),
    ("<a href='x>y</a>", "Unclosed start tag"),
    ("<span class='evil'>x</span>", "tg-spoiler"),
    ("<b ='x'>y</b>", "Empty attribute name"),
    ("<a href=?>y</a>", "Unexpected value"),
    ("<tg-time unix='soon'>x</tg-time>", "Unix time"),
    ("<tg-emoji>x</tg-emoji>", "custom emoji"),
]


@pytest.mark.parametrize(("source", "words"), REFUSED)
def test_bad_html_is_refused_in_the_servers_words(source: str, words: str) -> None:
    with pytest.raises(MarkupError) as refused:
        parse_html(source)
    assert words in str(refused.value)


def flat(nodes: list[Node]) -> str:
    return "".join(node if isinstance(node, str) else flat(node["children"]) for node in nodes)


TAGS = ("b", "i", "pre", "code", "tg-spoiler", "blockquote")
PIECES = st.sampled_from(
    [
        *(f"<{tag}>" for tag in TAGS),
        *(f"</{tag}>" for tag in TAGS),
        *("<a href='http://x'>", "</a>", "<blockquote expandable>", "<img src=x onerror=y>", "<", "</", ">"),
        *("&", "&lt;", "&#x1F680;", "🚀", "é", " ", "\n", "/status", "'", '"', "\x00", "\u202e"),
    ]
)
HOSTILE = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(st.characters(codec="utf-8"), max_size=60))


@given(HOSTILE)
def test_any_text_is_parsed_or_refused_and_entities_stay_inside(source: str) -> None:
    try:
        rich = parse_html(source)
    except MarkupError:
        return
    assert all(0 <= e.offset < e.end <= rich.units for e in rich.entities)
    assert flat(tree(rich)) == rich.text


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert parse_html(escaped).text == text.replace("\r", "").strip()


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.data())
def test_overlapping_entities_still_give_a_tree_of_the_whole_text(text: str, data: Any) -> None:
    units = utf16_length(text)
    spans = st.tuples(st.integers(0, units), st.integers(0, units)).filter(lambda s: s[0] < s[1])
    chosen = data.draw(st.lists(spans, max_size=5)) if units else []
    entities = sorted((Entity("bold", a, b - a) for a, b in chosen), key=lambda e: (e.offset, -e.length))
    whole = flat(tree(RichText(text, tuple(entities))))
    assert utf16_length(whole) >= units - len(entities) * 2 if any(c > "\uffff" for c in text) else whole == text


def test_plain_text_knows_only_commands() -> None:
    assert [e.type for e in plain("<b> /help http/x").entities] == ["bot_command"]
