"""Options read alike everywhere."""

from __future__ import annotations

import argparse

import pytest

from core.cli.options import (
    add_days,
    add_pairs,
    add_range,
    add_seed,
    add_timeframe,
    check_range,
    parse_utc,
    seed_of,
    timeframe_of,
)
from core.config import Settings
from core.errors import UsageError

DAY = 1_704_067_200_000


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_pairs(parser)
    add_range(parser)
    add_timeframe(parser)
    add_days(parser, "days")
    add_seed(parser, "the lot")
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024-01-01", DAY),
        ("2024-01-01T12:00Z", DAY + 43_200_000),
        ("2024-01-01T12:00", DAY + 43_200_000),
        (" 2024-01-01 12:00:00+02:00 ", DAY + 36_000_000),
        ("2024-01-01T00:00:00.250Z", DAY + 250),
    ],
)
def test_times_are_utc(text: str, ms: int) -> None:
    assert parse_utc(text) == ms


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "1704067200000", "0001-01-01", "1969-12-31"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_utc(text)


def test_nothing_named_is_none() -> None:
    args = parsed()

    assert (args.pairs, args.from_ms, args.to_ms, args.days, args.timeframe) == (None, None, None, None, None)
    assert seed_of(args, Settings.model_validate({"ml": {"seed": 5}})) == 5
    assert timeframe_of(args, Settings(timeframe="5m")).name == "5m"
    check_range(args)


def test_all_named() -> None:
    args = parsed("--from", "2024-01-01", "--to", "2024-01-02", "--timeframe", "1h", "--seed", "9", "--pairs", "LINK")

    assert (args.pairs, args.from_ms, args.to_ms - args.from_ms, args.days) == ("LINK", DAY, 86_400_000, None)
    assert seed_of(args, Settings()) == 9
    assert timeframe_of(args, Settings()).name == "1h"
    check_range(args)


@pytest.mark.parametrize(
    "words", [("--days", "0"), ("--days", "-3"), ("--days", "x"), ("--days", "²"), ("--timeframe", "7m")]
)
def test_impossible_values_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises((UsageError, argparse.ArgumentError)):
        parsed(*words)


def test_a_seed_below_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="--seed -1 must not be negative"):
        seed_of(parsed("--seed", "-1"), Settings())


def test_a_range_begins_once() -> None:
    with pytest.raises(UsageError, match="--days and --from both say where to begin"):
        check_range(parsed("--from", "2024-01-02", "--days", "3"))


def test_the_end_must_lie_after_the_beginning() -> None:
    with pytest.raises(UsageError, match="must lie after"):
        check_range(parsed("--from", "2024-01-02", "--to", "2024-01-02"))
