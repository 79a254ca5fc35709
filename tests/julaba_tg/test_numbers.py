"""Numbers with a point, a comma or a space: nothing but the separators of plain numbers is exchanged."""

from __future__ import annotations

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.services.people import Numbers
from julaba_tg.commands import COMMANDS
from julaba_tg.numbers import numbered
from julaba_tg.parsing import command_of

STYLES: tuple[Numbers, ...] = get_args(Numbers)
MARKS: dict[Numbers, tuple[str, str]] = {"en": (",", "."), "de": (".", ","), "fr": ("\u00a0", ",")}

figures = st.tuples(
    st.integers(0, 10**9), st.integers(0, 6).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n))
)
before = st.sampled_from(["", "$", "-$", "+$", "+", "-", "(", "~", "≥", "'", "€"])
behind = st.sampled_from(["", "%", "R", ",", ".", ")", "),", "s", "x", " USDT", "%)", ":", "…", "!"])
kept = st.sampled_from(
    [
        "xgb-v2-81ca5d5e", "0.6.0", "v0.6", "12:30", "12:30:05", "127.0.0.1", "127.0.0.1:9464", "2026-11-21",
        "21.11.2026", "2024-01-03T01:45:00Z", "https://example.org/a/1.5?x=0.5", "config-1.5.yaml", "LINK/USDT", "#12",
        "G", "1,2",
        "1234,567", "12,34.5", "gemini-3.5-flash-lite", "81ca5d5e…", "a1.5", "1.5b", "0.5_1", "Julaba", "·", "→", "–",
        "`x 0.5 y`", "paper.max_leverage: 3.5", "version 3.11", "--days 1.5", "gate.error= 0.05",
    ]
)  # fmt: skip
commands = st.sampled_from(
    [
        "/ml 0.25", "/size LINK 0.5", "/whatif sl 2.5", "/whatif weight 0.4", "/ml 0.25,", "(/ml 0.25)",
        "/size LINK/USDT 1.5", "/notify quiet 22:00-07:00",
    ]
)  # fmt: skip


def shown(figure: tuple[int, str], style: Numbers) -> str:
    """A number in a style, digit by digit."""
    whole, decimals = figure
    digits, (thousand, point) = str(whole), MARKS[style]
    groups = [digits[max(0, end - 3) : end] for end in range(len(digits), 0, -3)]
    return thousand.join(reversed(groups)) + (point + decimals if decimals else "")


words = st.one_of(
    st.tuples(before, figures, behind).map(lambda t: tuple(t[0] + shown(t[1], s) + t[2] for s in STYLES)),
    kept.map(lambda word: (word,) * 3),
    commands.map(lambda word: (word + " ·",) * 3),
)


@given(st.lists(words, max_size=12), st.sampled_from(STYLES))
def test_numbers_are_exchanged_and_ids_times_versions_addresses_and_commands_are_not(
    said: list[tuple[str, ...]], style: Numbers
) -> None:
    line = " · ".join(word[0] for word in said)

    assert numbered(line, style) == " · ".join(word[STYLES.index(style)] for word in said)


anything = st.text(alphabet=st.characters(), max_size=200) | st.text("0123456789.,-$/ abR%`:", max_size=80)


@given(anything, st.sampled_from(STYLES))
def test_whatever_the_text_only_separators_change(line: str, style: Numbers) -> None:
    changed = numbered(line, style)

    assert len(changed) == len(line)
    assert all(a == b or (a in ",." and b in MARKS[style]) for a, b in zip(line, changed, strict=True))


@given(anything)
def test_english_is_left_as_it_is(line: str) -> None:
    assert numbered(line, "en") is line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.example)
@pytest.mark.parametrize("style", STYLES)
def test_every_example_can_be_typed_as_it_is_shown(command: object, style: Numbers) -> None:
    line = next(c for c in COMMANDS if c is command)
    said = numbered(f"Usage: {line.usage}, for example {line.example}", style)

    assert said.endswith(line.example)
    assert command_of(said.rpartition("example ")[2]) == command_of(line.example)


@pytest.mark.parametrize(
    ("line", "german"),
    [
        ("📊 $10,240 · today -$31.50 · 1 open", "📊 $10.240 · today -$31,50 · 1 open"),
        ("✅ LINK LONG 17.48 · risk $1,200 · ML 37 (avg 36.5)", "✅ LINK LONG 17,48 · risk $1.200 · ML 37 (avg 36,5)"),
        ("17.48→17.61, AUC 0.64 (0.55-0.72), 1.5R/2.5R/4R", "17,48→17,61, AUC 0,64 (0,55-0,72), 1,5R/2,5R/4R"),
        ("0.55..0.62, 1.5e-05, ±3.5, 1,234,567.891", "0,55..0,62, 1,5e-05, ±3,5, 1.234.567,891"),
        ("volatility ×0.6 its day's +0.11, →1.5", "volatility ×0,6 its day's +0,11, →1,5"),
        ("LINK      17.48  12:00", "LINK      17,48  12:00"),
        ("Ask with /ml 0.25. Then 0.5 counts", "Ask with /ml 0.25. Then 0,5 counts"),
        ("in /status: 0.5 of it", "in /status: 0,5 of it"),
    ],
)
def test_lines_as_a_person_reads_them(line: str, german: str) -> None:
    assert numbered(line, "de") == german


def test_french_numbers_are_not_broken_over_two_lines() -> None:
    assert numbered("$1,234,567.50", "fr") == "$1\u00a0234\u00a0567,50"


@pytest.mark.parametrize(
    "line", ["1," * 5000, "1.1-" * 5000, "-" * 20_000, "(" * 20_000, "1,111" * 5000, "/a 1 " * 4000]
)
def test_no_text_takes_long(line: str) -> None:
    begun = time.perf_counter()
    numbered(line, "de")

    assert time.perf_counter() - begun < 0.5
