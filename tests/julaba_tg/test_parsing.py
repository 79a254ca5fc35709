"""Words as people type them on a phone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from julaba_tg.commands import Command, find
from julaba_tg.parsing import Typed, command_of, count, is_for_another_bot, pair, switch, weight, yes_or_no


def line(name: str, *arguments: str) -> Command:
    command = find(name, arguments)
    assert command is not None
    return command


ML = line("ml", "0.25")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/status", Typed("status", ())),
        ("/STATUS", Typed("status", ())),
        ("  /pair LINK off ", Typed("pair", ("LINK", "off"))),
        ("/pair\u00a0LINK\u00a0off", Typed("pair", ("LINK", "off"))),
        ("/status@Julaba_Bot", Typed("status", ())),
        ("/status@other_bot", None),
        ("/statu/s", None),
        ("please /status", None),
        ("/", None),
        ("/ status", None),
    ],
)
def test_commands(typed: str, expected: Typed | None) -> None:
    assert command_of(typed, "julaba_bot") == expected


def test_another_bots_command_is_recognised() -> None:
    assert is_for_another_bot("/status@other_bot", "julaba_bot")
    assert not is_for_another_bot("/status@julaba_bot", "julaba_bot")


@pytest.mark.parametrize(
    ("word", "value"),
    [("0.25", 0.25), ("25%", 0.25), (",25", 0.25), (".5", 0.5), ("0,5", 0.5), ("0", 0.0), ("1", 1.0), ("100%", 1.0)],
)
def test_weights(word: str, value: float) -> None:
    assert weight(word, ML) == value


@pytest.mark.parametrize("word", ["-0.1", "nan", "inf", "1e9", "", "%", ".", "abc", "0.2.5", "٠.٥", "+0.5", "²"])
def test_what_is_no_weight_ends_in_a_usage_line(word: str) -> None:
    with pytest.raises(UsageError, match=r"is not a weight\.\nUsage: /ml WEIGHT, for example /ml 0\.25"):
        weight(word, ML)


def test_25_is_not_taken_for_25_percent() -> None:
    with pytest.raises(UsageError, match=r"between 0 and 1, and 25 does not; 25% is 0\.25"):
        weight("25", ML)


@given(st.text(max_size=80))
def test_a_weight_is_a_number_from_0_to_1_or_a_sentence(word: str) -> None:
    try:
        value = weight(word, ML)
    except UsageError:
        return
    assert 0 <= value <= 1


@pytest.mark.parametrize("word", ["link", "LINK", "LINKUSDT", "link/usdt", "LINK-USDT"])
def test_pairs(word: str) -> None:
    assert pair(word, line("pair", "x")) == "LINK/USDT"


@pytest.mark.parametrize("word", ["", "💥", "LI NK", "A/B/C", "x" * 99])
def test_what_is_no_pair(word: str) -> None:
    with pytest.raises(UsageError, match="is not a pair"):
        pair(word, line("pair", "x"))


def test_switches() -> None:
    assert [switch(w, line("pair", "x")) for w in ("on", "OFF", "an", "aus")] == [True, False, True, False]
    with pytest.raises(UsageError, match="neither on nor off"):
        switch("maybe", line("pair", "x"))


@pytest.mark.parametrize("words", [["0"], ["51"], ["-1"], ["1.5"], ["٣"], ["9" * 40], ["1", "2"]])
def test_a_count_has_bounds(words: list[str]) -> None:
    with pytest.raises(UsageError, match="Usage: /trades"):
        count(words, line("trades"), default=10, most=50)


@pytest.mark.parametrize(
    ("word", "answer"),
    [("approve", True), ("Yes!", True), ("ja", True), ("ok.", True), ("REJECT", False), ("no", False), ("👎", False)],
)
def test_answers(word: str, answer: bool) -> None:
    assert yes_or_no(word) is answer


@pytest.mark.parametrize("words", ["yes please", "not approve", "", "y e s", "nope", "approve it?"])
def test_anything_more_than_the_word_is_no_answer(words: str) -> None:
    assert yes_or_no(words) is None
