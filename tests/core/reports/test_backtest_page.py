from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.domain.candles import Candles, Pair
from core.domain.trading import Verdict
from core.reports.backtest_page import backtest_page
from core.reports.backtest_report import BacktestReport
from core.reports.page_tables import cumulated_r
from tests.core.reports.made import nothing, report, settings, signals_only
from tests.markets import M15, walk

EVIL = "</script><script>alert(1)</script><!-- & \u2028 {{data}}"


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def text_of(page: str) -> str:
    """What is read, without scripts and style."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def test_every_trade_is_on_the_page_with_its_fills() -> None:
    rows = data_of(backtest_page(report()))["trades"]

    assert len(rows) == len(report().trades) > 10
    for row, trade in zip(rows, report().trades, strict=True):
        assert row[2] * 1000 == trade.follow.entry_time
        assert row[5:8] == pytest.approx([trade.follow.realized_r, trade.r_net, trade.pnl], abs=0.006)
        assert [leg[0] for leg in row[14]] == [leg.name for leg in trade.follow.legs]
    assert {row[0] for row in rows} == {0, 1, 2}


def test_the_page_begins_with_enough_candles_for_the_slow_average() -> None:
    data = data_of(backtest_page(report()))

    assert data["from"] == report().start_ms
    assert all(pair["time"]["start"] == report().start_ms - 60 * pair["time"]["step"] for pair in data["pairs"])


def test_nothing_but_what_the_page_brings_may_run_or_load() -> None:
    page = backtest_page(report())

    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    for tag, name in (("style", "<style>"), ("script", '<script type="module">')):
        content = page.split(name)[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert not re.findall(r"https?://|//cdn|@import|\bfetch\(|XMLHttpRequest|\bsrc=|url\(", page)
    assert re.findall(r'href="([^"]+)"', page) == ["data:,", "#trades"]


def test_the_same_report_gives_the_same_page() -> None:
    assert backtest_page(report()) == backtest_page(report())


def test_hostile_texts_are_inert() -> None:
    pair = Pair(EVIL, "USDT")
    first = report().trades[0]
    candidate = replace(first.candidate, pair=pair)
    hostile = replace(
        report(),
        candles={pair: replace(walk(300), pair=pair)},
        trades=(replace(first, candidate=candidate),),
        refused=(
            replace(
                report().refused[0],
                candidate=candidate,
                verdict=replace(report().refused[0].verdict, sentence=EVIL, rule=EVIL),
            ),
        ),
        notes=(EVIL,),
    )

    page = backtest_page(hostile)

    assert "<script>alert" not in page
    assert len(re.findall(r"<script\b", page)) == 2
    data = data_of(page)
    assert data["pairs"][0]["name"] == f"{EVIL}/USDT"
    assert data["refused"][0][3] == EVIL
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text_of(page)


def test_the_tiles_say_what_the_account_made() -> None:
    words = text_of(backtest_page(report()))

    made = sum(trade.pnl or 0 for trade in report().trades)
    assert f"{abs(made):,.0f} USDT" in words
    for label in (
        "Win rate",
        "Profit factor",
        "Expectancy",
        "Max drawdown",
        "Sharpe",
        "Sortino",
        "Exposure",
        "Basket held",
    ):
        assert f"<dt>{label}</dt>" in words
    assert f"of {len(report().trades)} trades" in words
    assert "fee 0.050% and slippage 0.050% a side" in words


def test_groups_and_months_add_up() -> None:
    data = data_of(backtest_page(report()))

    net = sum(trade.r_net for trade in report().trades)
    for group in data["groups"]:
        assert sum(row[1] for row in group["rows"]) == len(report().trades)
        assert sum(row[4] for row in group["rows"]) == pytest.approx(net, abs=0.01)
    account = report().account
    assert account is not None
    grown = np.prod([1 + month[2] for month in data["months"]])
    assert grown == pytest.approx(account.equity[-1] / account.equity[0], rel=1e-5)
    assert sum(month[3] for month in data["months"]) == len(report().trades)


def test_refusals_are_counted_by_rule_with_what_they_would_have_made() -> None:
    rows = data_of(backtest_page(report()))["refusals"]

    assert sum(row[1] for row in rows) == len(report().refused) > 0
    assert any(row[2] for row in rows)
    known = [r for r in report().refused if r.r_net is not None]
    assert sum(row[5] for row in rows) == pytest.approx(sum(r.r_net or 0 for r in known), abs=0.01)


def test_a_refusal_whose_end_is_not_known_counts_without_a_result() -> None:
    unknown = replace(report().refused[0], r_gross=None, r_net=None)
    data = data_of(backtest_page(replace(report(), refused=(unknown,))))

    assert data["refusals"] == [[f"{unknown.verdict.layer}: {unknown.verdict.rule}", 1, 0, None, 0, 0]]


def test_without_signals_the_page_says_so() -> None:
    assert "No signals in this range" in text_of(backtest_page(nothing()))
    assert data_of(backtest_page(nothing()))["trades"] == []


def test_without_trades_the_page_says_that_all_were_refused() -> None:
    page = backtest_page(replace(report(), trades=()))

    assert f"No trades: {len(report().refused)} signals, all refused" in text_of(page)


def test_without_an_account_the_page_speaks_in_r() -> None:
    page = backtest_page(signals_only())

    assert "No account here" in text_of(page)
    assert data_of(page)["curve"]["unit"] == "R"
    assert all(row[7] is None for row in data_of(page)["trades"])
    months = data_of(page)["months"]
    assert sum(m[2] for m in months) == pytest.approx(sum(t.r_net for t in signals_only().trades), abs=1e-4)


def test_net_r_is_summed_up_as_trades_close() -> None:
    trades = signals_only().trades
    ends = np.array(sorted(t.follow.exit_time or 0 for t in trades)) + M15.ms  # known when the exit candle closes

    assert cumulated_r(trades, ends[:1] - 1).tolist() == [0.0]
    assert cumulated_r(trades, ends[-1:])[0] == pytest.approx(sum(t.r_net for t in trades))
    first = min(trades, key=lambda t: t.follow.exit_time or 0)
    assert cumulated_r(trades, ends[:1])[0] == pytest.approx(first.r_net)


def test_without_any_candles_there_is_still_a_page() -> None:
    empty = BacktestReport(settings(), 0, 0, {}, (), ())

    assert "no pairs" in text_of(backtest_page(empty))


def test_a_long_range_keeps_the_candles_around_the_trades_and_says_so() -> None:
    page = backtest_page(report(), most_candles=20_000)

    assert "are too many for one page: it holds those around the trades." in text_of(page)
    kept = data_of(page)
    for row in kept["trades"]:
        times = _times(kept["pairs"][row[0]]["time"])
        entry = times.index(row[2] * 1000)
        assert (row[3] * 1000) in times
        assert entry >= 100


def test_too_many_trades_keep_the_candles_of_the_newest() -> None:
    page = backtest_page(report(), most_candles=1000)

    assert re.search(r"those around the newest [1-4] of \d+ trades", text_of(page))
    assert sum(pair["time"]["count"] for pair in data_of(page)["pairs"]) <= 1000


def test_five_pairs_and_ninety_days_stay_far_below_three_megabytes() -> None:
    pairs = [Pair.parse(name) for name in ("LINK", "ETH", "SOL", "AVAX", "POL")]
    candles: dict[Pair, Candles] = {p: replace(walk(90 * 96, seed=n), pair=p) for n, p in enumerate(pairs)}
    long = replace(report(), candles=candles, end_ms=int(candles[pairs[0]].time[-1]) + 1)

    assert len(backtest_page(long)) < 800_000


def test_a_verdict_keeps_its_sentence_beside_its_candle() -> None:
    refusal = report().refused[0]
    rows = data_of(backtest_page(report()))["refused"]

    assert isinstance(refusal.verdict, Verdict)
    assert rows[0][2:] == [refusal.candidate.open_time // 1000, refusal.verdict.sentence]


def _times(packed: dict[str, Any]) -> list[int]:
    steps = np.ones(packed["count"], dtype=np.int64)
    for row, missing in packed["gaps"]:
        steps[row] += missing
    steps[0] = 0
    found: list[int] = (packed["start"] + np.cumsum(steps) * packed["step"]).tolist()
    return found
