"""Backtests, stored history and exports as cards. Pure. What-ifs: ``rendering_whatif``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from core.services.chat_backtest import BacktestView
from core.services.exports import NOUNS, ExportView
from core.services.stored_history import FetchView, StoredPair
from julaba_tg.card import Card, card, quote, table, text
from julaba_tg.figures import coin, counted, day_time, figure, hundredths, percent, r_multiple


def cancelled() -> Card:
    return card("✖️ Cancelled")


def backtest_done(view: BacktestView) -> Card:
    """For the message that showed the progress."""
    return card(f"🔬 Backtest done in {view.seconds:.0f} s", *([f"⚠️ {view.warning}"] if view.warning else []))


def backtest(view: BacktestView, zone: ZoneInfo) -> Card:
    total, other = view.total, view.target_first
    names = [coin(pair) for pair in view.pairs]
    who = " ".join(names) if len(names) <= 3 else f"{len(names)} pairs"
    if not total["signals"]:
        return card(f"🔬 {who} · {view.days} days · no signal", *_left_out(view))
    net = r_multiple(total["realized_r_net"])
    return card(
        f"🔬 {who} · {view.days} days · {counted(total['signals'], 'signal')} · {net} net",
        text(
            [
                f"Won {total['wins']} of {total['signals']}: {percent(total['win_rate'])}{_span(view.win_interval)}",
                f"R {r_multiple(total['realized_r'])} gross, {net} net; a signal on average "
                f"{r_multiple(total['realized_r_net'] / total['signals'])}{_r_span(view.mean_interval)}",
                f"For each 1 lost {hundredths(total['profit_factor'])} won gross, "
                f"{hundredths(total['profit_factor_net'])} net",
                f"Deepest fall {view.drawdown:.2f}R net",
                f"{percent(total['ambiguous_share'])} unclear candles; targets first: "
                f"{r_multiple(other['realized_r'])} gross",
                *_left_out(view),
            ]
        ),
        quote(
            [
                f"{day_time(view.start, zone)} to {day_time(view.end, zone)}",
                *(_pair_line(pair, found) for pair, found in view.pairs.items()),
                "Each signal by itself: no account, no limits, neither Gemini nor the model.",
            ]
        ),
    )


def _left_out(view: BacktestView) -> list[str]:
    said = [f"No candles: {', '.join(coin(p) for p in view.missing)}"] if view.missing else []
    said += ["With the settings as they were changed here"] if view.changed else []
    gaps, new = view.total.get("gap_ended", 0), view.total.get("too_new", 0)
    said += [f"{counted(gaps, 'signal')} ended by a gap: left out"] if gaps else []
    return said + ([f"{counted(new, 'signal')} too new to judge: left out"] if new else [])


def _pair_line(pair: str, found: Mapping[str, Any]) -> str:
    won = f", won {percent(found['win_rate'])}" if found["signals"] else ""
    return f"{coin(pair)}: {found['signals']}{won}, {r_multiple(found['realized_r_net'])} net"


def no_file(view: BacktestView) -> Card:
    """Why there is no CSV: it is too large for the chat."""
    size = figure(round(view.csv_size / 1e6))
    return card(
        f"📄 The table is {size} MB, more than Telegram takes",
        f"On the machine: julaba backtest --days {view.days} --out signals.csv",
    )


def file(view: BacktestView) -> Card:
    return card(f"📄 {counted(view.total['signals'], 'signal')} as a table")


def how_long() -> Card:
    return card(
        "📥 How many days of candles?", "Only what is missing is fetched; it can be broken off and goes on later."
    )


def which_export() -> Card:
    return card("📦 What shall I send?", "Each is a table for a spreadsheet; all of them come in one zip.")


def exported(view: ExportView) -> Card:
    rows = ", ".join(f"{count:,} {NOUNS.get(kind, kind)}" for kind, count in view.rows.items())
    return card(f"📦 {rows}")


def too_large(view: ExportView) -> Card:
    return card(
        f"📦 {view.what} is {figure(round(view.size / 1e6))} MB, more than Telegram takes",
        f"On the machine: julaba export {view.what}",
    )


def fetched(view: FetchView) -> Card:
    """A table of what is stored now; a pair that could not be completed says why."""
    faults = [f"{coin(p.pair)}: {p.fault}" for p in view.pairs if p.fault]
    title = f"📥 {view.new:,} new candles in {view.seconds:.0f} s" if view.new else "📥 Nothing was missing"
    return card(
        title if not faults else f"📥 {counted(len(faults), 'pair')} not complete · {view.new:,} new candles",
        table([f"{'':6}{'days':>5} {'candles':>8} {'gaps':>5}", *(_stored(p) for p in view.pairs)]),
        text(["gaps: holes that the exchange has too", *(f"⚠️ {fault}" for fault in faults)]),
    )


def _stored(pair: StoredPair) -> str:
    return f"{coin(pair.pair)[:6]:6}{pair.days:>5.0f} {pair.candles:>8,} {pair.gaps:>5}"


def _span(found: tuple[float, float] | None) -> str:
    return f" ({percent(found[0])} to {percent(found[1])})" if found else " (too few days for an interval)"


def _r_span(found: tuple[float, float] | None) -> str:
    return f" ({r_multiple(found[0])} to {r_multiple(found[1])})" if found else ""
