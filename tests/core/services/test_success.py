"""The report of a real ledger: its figures at a moment, and flags that are told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.clocks import ReplayClock
from core.domain.candles import DAY_MS, to_datetime, to_ms
from core.services.bus import Bell
from core.services.stock import Stockroom, lived_of, stock_of
from core.services.success import Facts, ReportView, SuccessDesk, facts_of, figures_at, flag_notice, report_of
from tests.core.services.test_stock import lived_through
from tests.ledgers import Books, books, settings
from tests.markets import START

FACTS = Facts(
    closed=[START + DAY_MS, START + 9 * DAY_MS],
    trades=[(START + DAY_MS, 50.0), (START + 9 * DAY_MS, -20.0)],
    equity=[
        (START, 10_000.0),
        (START + DAY_MS, 10_500.0),
        (START + 2 * DAY_MS, 9_450.0),
        (START + 9 * DAY_MS, 9_600.0),
    ],
    asked=[(START + DAY_MS, False), (START + 3 * DAY_MS, True)],
    looks=[(START + 5 * DAY_MS, 0.48, 50)],
)


def test_figures_know_only_what_was_known_then() -> None:
    then, now = figures_at(FACTS, START + 2 * DAY_MS), figures_at(FACTS, START + 9 * DAY_MS)

    assert then is not None
    assert now is not None
    assert (then.outcomes, then.trades, then.wins, then.losses, then.live_accuracy) == (1, 1, 1, 0, None)
    assert (now.outcomes, now.trades, now.wins, now.losses, now.live_accuracy) == (2, 2, 1, 20.0, 0.48)
    assert now.drawdown == pytest.approx(0.1)
    assert (now.asked, now.rejected) == (2, 1)
    assert figures_at(FACTS, START - 1) is None


def test_a_flag_s_key_is_the_metric_s() -> None:
    stock = stock_of(settings(), to_datetime(START + 40 * DAY_MS), None, (), {})
    bad = replace(FACTS, equity=[(START, 10_000.0), (START + 30 * DAY_MS, 7_000.0)])
    report = report_of(bad, stock, settings(), {})

    assert report is not None
    drawdown = next(m for m in report.flags if m.key == "drawdown")
    notice = flag_notice(drawdown, report.now)
    assert notice.key == "report:4 weeks:drawdown"
    assert notice.title == "Red flag: deepest drawdown 30.0% (> 20%; < 15% wanted)"
    assert "halve paper.risk_per_trade" in notice.detail


def desk(kept: Books, clock: ReplayClock, folder: Path) -> SuccessDesk:
    room = Stockroom(settings(), clock, kept.ledger, kept.chat, CandleFiles(folder), dict, lambda: "main")
    weak = {"n": 200.0, "accuracy": 0.5, "majority": 0.6, "auc": 0.5}
    return SuccessDesk(settings(), clock, kept.ledger, kept.chat, Bell(), room, lambda: weak)


async def told(kept: Books) -> list[str]:
    return [i.event.key for i in await kept.chat.pending(500) if i.event.key.startswith("report:")]


async def test_a_red_flag_is_told_once_however_often_it_is_seen(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        first = desk(kept, stage.clock, tmp_path)
        await first.review()
        once = await told(kept)
        stage.clock.advance(stage.clock.now() + timedelta(days=2))
        await first.review()
        await desk(kept, stage.clock, tmp_path).review()
        picture = (await first.view()).picture

        assert {"report:bootstrap:backtest_accuracy", "report:bootstrap:auc"} <= set(once)
        assert await told(kept) == once
        assert picture is not None
        assert picture.startswith(b"\x89PNG")


async def test_a_restart_looks_for_flags_no_earlier_than_the_day_after_the_last_look(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        quiet = desk(kept, stage.clock, tmp_path)
        quiet._champion = dict
        await quiet.review()
        before = await told(kept)
        await desk(kept, stage.clock, tmp_path).review()  # a model that knows nothing came on the same day
        assert await told(kept) == before
        stage.clock.advance(stage.clock.now() + timedelta(days=1))
        await desk(kept, stage.clock, tmp_path).review()
        assert "report:bootstrap:auc" in set(await told(kept)) - set(before)


async def test_the_ledger_s_trades_are_those_of_the_report(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        facts = await facts_of(kept.ledger, kept.chat, settings())
        lived = await lived_of(kept.ledger, settings())
        totals = await kept.ledger.trade_totals()
        now = figures_at(facts, to_ms(stage.clock.now()))

    assert now is not None
    assert (now.trades, now.wins) == (totals.count, totals.wins)
    assert now.gains == pytest.approx(totals.gains)
    assert now.outcomes == len(lived.outcomes)


async def test_before_the_first_candle_there_is_no_report(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        empty = desk(kept, ReplayClock(to_datetime(START)), tmp_path)

        assert await empty.report() is None
        assert await empty.view() == ReportView(None, None)
        await empty.review()
        assert await told(kept) == []
