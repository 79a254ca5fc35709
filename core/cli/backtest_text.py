"""A backtest in words and tables for a person, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.cli.text import table
from core.config import Settings

Figures = Mapping[str, Any]

_HEADINGS = ("pair", "signals", "won gross", "share", "R gross", "R net", "PF gross", "PF net", "ambiguous")


def signals_text(summary: Figures, settings: Settings) -> str:
    """The figures per pair as a table with its explanation."""
    rows = [_row(pair, f, f["signals"]) for pair, f in summary["pairs"].items()]
    rows.append(_row("all", summary["total"], summary["total"]["signals"]))
    text = [f"{summary['from']} to {summary['to']}", "", *table(_HEADINGS, rows, foot=True)]
    if "candidates" in summary["total"]:
        rows = [_row(pair, f["candidates"], f["candidates"]["count"]) for pair, f in summary["pairs"].items()]
        rows.append(_row("all", summary["total"]["candidates"], summary["total"]["candidates"]["count"]))
        text += ["", *table(("pair", "candidates", *_HEADINGS[2:]), rows, foot=True)]
    costs = (settings.paper.fee_rate + settings.paper.slippage_rate) * 100
    text += ["", f"Net: after {costs:g}% of the price on each side for fee and slippage. PF: won for each 1 lost."]
    if count := summary["total"]["signals"]:
        text += [f"Won after costs: {summary['total']['wins_net']} of {count} signals."]
    text += [_ambiguous(summary, settings)]
    if gaps := summary["total"]["gap_ended"]:
        text += [f"{gaps} more were open when candles went missing for too long: left out."]
    if new := summary["total"]["too_new"]:
        text += [f"{new} more came in the last {settings.strategy.max_bars} candles: too near the end for this table."]
    return "\n".join(text)


def _ambiguous(summary: Figures, settings: Settings) -> str:
    words = "Ambiguous: a candle touched the stop and an open target; the stop is taken"
    if settings.detail is not None:
        words += f"\nunless {settings.detail.name} candles tell ({summary['total']['decided']} told)"
    if not summary["ambiguous_share"]:
        return f"{words}."
    return f"{words}.\nWith the targets first: {summary['target_first']['realized_r']:+.2f} R gross."


def account_text(figures: Figures) -> str:
    """One account's figures beside those with the other order in ambiguous candles and beside the held basket."""
    columns = (figures, figures["target_first"], figures["benchmark"])
    lines = [
        _line("return", columns, lambda f: _signed_share(f["return"])),
        _line("equity, $", columns, lambda f: f"{f['equity']:,.2f}"),
        _line("deepest drawdown", columns, lambda f: _share(f["drawdown"]["share"] if f["drawdown"] else 0.0)),
        _line("days it lasted", columns, lambda f: f"{f['drawdown']['days'] if f['drawdown'] else 0:.1f}"),
        _line("longest below a high, days", columns, lambda f: f"{f['underwater_days']:.1f}"),
        _line("Sharpe / Sortino", columns, lambda f: f"{_ratio(f['sharpe'])} / {_ratio(f['sortino'])}"),
        _line("trades / won gross", columns[:2], lambda f: f"{f['trades']} / {_share(f['win_rate'])}"),
        _line("R gross / net", columns[:2], lambda f: f"{f['realized_r']:+.2f} / {f['realized_r_net']:+.2f}"),
        _line("P&L gross / net, $", columns[:2], lambda f: f"{f['pnl_gross']:+,.0f} / {f['pnl']:+,.0f}"),
        _line(
            "PF gross / net", columns[:2], lambda f: f"{_ratio(f['profit_factor'])} / {_ratio(f['profit_factor_net'])}"
        ),
        _line("a trade on average, R net", columns[:2], lambda f: _signed(f["expectancy_r_net"])),
    ]
    return "\n".join(
        [
            "One account over all pairs, with live limits, sizes and costs, without Gemini and the model:",
            "",
            *table(("", "stop first", "targets first", "hold the basket"), lines),
            "",
            *_account_notes(figures),
        ]
    )


def _account_notes(figures: Figures) -> list[str]:
    open_words = f", {figures['open']} still open" if figures["open"] else ""
    notes = [f"In the market {_share(figures['exposure'])} of the time{open_words}."]
    if figures["trades"]:
        notes[0] += f" Ambiguous: {_share(figures['ambiguous_share'])} of the trades."
    if figures["refused"]:
        words = [f"{rule.split(': ')[-1]} {count}" for rule, count in figures["refusals"].items()]
        notes.append(f"Refused {figures['refused']}: {', '.join(words)}.")
    if figures["paused_since"]:
        notes.append(
            f"The drawdown limit ended all entries at {figures['paused_since']}: nobody resumes in a backtest."
        )
    return notes


def by_text(name: str, summary: Figures, figures: Figures | None) -> str:
    """The signals by regime, hour or month, and what the account made of them."""
    account = {} if figures is None else figures["by"][name]
    headings: tuple[str, ...] = (name, "signals", "won gross", "R gross", "R net", "PF net")
    headings += () if figures is None else ("trades", "R net", "P&L net, $")
    rows = []
    for group in sorted({*summary["by"][name], *account}):
        signals, trades = summary["by"][name].get(group), account.get(group)
        row = ("0", "-", "-", "-", "-") if signals is None else _signal_cells(signals)
        if figures is not None:
            row += ("0", "-", "-") if trades is None else _trade_cells(trades)
        rows.append((group, *row))
    return "\n".join(table(headings, rows))


def _signal_cells(figures: Figures) -> tuple[str, ...]:
    return (
        str(figures["signals"]),
        _share(figures["win_rate"]),
        _signed(figures["realized_r"]),
        _signed(figures["realized_r_net"]),
        _ratio(figures["profit_factor_net"]),
    )


def _trade_cells(figures: Figures) -> tuple[str, ...]:
    return str(figures["trades"]), _signed(figures["realized_r_net"]), f"{figures['pnl']:+,.0f}"


def _line(name: str, columns: Sequence[Figures], cell: Any) -> tuple[str, ...]:
    cells = tuple(str(cell(figures)) for figures in columns)
    return (name, *cells, *("" for _ in range(3 - len(cells))))


def _row(name: str, figures: Figures, count: int) -> tuple[str, ...]:
    return (
        name,
        str(count),
        str(figures["wins"]),
        _share(figures["win_rate"]),
        f"{figures['realized_r']:+.2f}",
        f"{figures['realized_r_net']:+.2f}",
        _ratio(figures["profit_factor"]),
        _ratio(figures["profit_factor_net"]),
        _share(figures["ambiguous_share"]),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _signed_share(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
