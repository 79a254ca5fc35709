"""What a command is given of the stored candles, and what is said of the rest."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from core.cli import Context
from core.cli.options import add_days, add_range
from core.cli.stored import load_range, with_btc
from core.domain.candles import DAY_MS, Pair, iso
from core.errors import DataError
from tests.markets import M15, walk

LINK, SOL, BTC = Pair.parse("LINK"), Pair.parse("SOL"), Pair.parse("BTC")
CANDLES = walk(960)  # ten days
FIRST, LAST = int(CANDLES.time[0]), int(CANDLES.time[-1]) + M15.ms


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Ten days of LINK, the first two of SOL, nothing of BTC."""
    monkeypatch.chdir(tmp_path)  # where no settings file lies
    candle_store(tmp_path).save(replace(CANDLES, pair=LINK))
    candle_store(tmp_path).save(replace(CANDLES.rows(0, 192), pair=SOL))
    return Context(None, tmp_path, json=False)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_range(parser)
    add_days(parser, "days")
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "default", "start", "end"),
    [
        ((), None, FIRST, LAST),
        ((), 4, LAST - 4 * DAY_MS, LAST),
        (("--days", "3"), 4, LAST - 3 * DAY_MS, LAST),
        (("--days", "3000"), None, FIRST, LAST),
        ((), 90, FIRST, LAST),
        (("--to", "9999-12-31"), None, FIRST, LAST),
        (("--from", iso(FIRST + DAY_MS)), 4, FIRST + DAY_MS, LAST),
        (("--days", "3", "--to", iso(LAST - DAY_MS)), None, LAST - 4 * DAY_MS, LAST - DAY_MS),
    ],
)
def test_the_range_is_what_was_named_and_earlier_candles_come_along(
    context: Context, words: tuple[str, ...], default: int | None, start: int, end: int
) -> None:
    found = load_range(parsed(*words), context, (LINK,), M15, default_days=default)

    assert (found.start, found.end) == (start, end)
    assert (found.candles[LINK].time[0], found.candles[LINK].time[-1] + M15.ms) == (FIRST, end)


def test_a_pair_left_out_is_named_with_the_reason(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_range(parsed("--days", "3"), context, (LINK, SOL, BTC), M15)

    assert list(found.candles) == [LINK]
    assert capsys.readouterr().err.splitlines() == [
        f"warning: SOL/USDT has no 15m candles from {iso(LAST - 3 * DAY_MS)} to {iso(LAST)} and is left out",
        "warning: BTC/USDT has no 15m candles stored and is left out",
    ]


def test_a_range_without_candles_is_named(context: Context) -> None:
    with pytest.raises(DataError, match="no 15m candles of BTC/USDT stored; get them"):
        load_range(parsed(), context, (BTC,), M15)
    with pytest.raises(DataError, match="no 15m candles from 2029-12-30T00:00:00Z to 2030-01-01T00:00:00Z"):
        load_range(parsed("--to", "2030-01-01", "--days", "2"), context, (LINK,), M15)


def test_btc_comes_along_where_it_has_candles(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    settings = context.settings
    stored = load_range(parsed("--days", "3"), context, (LINK,), M15)

    assert list(with_btc(stored, context, settings)) == [LINK]
    assert "no BTC/USDT candles: the BTC check will say that it cannot tell" in capsys.readouterr().err

    candle_store(context.data_dir).save(replace(CANDLES, pair=BTC))
    assert list(with_btc(stored, context, settings)) == [LINK, BTC]
    assert capsys.readouterr().err == ""
