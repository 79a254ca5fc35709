"""A backtest as one HTML file: equity, drawdown, trades on their candles, tables.

Everything lies inside the file and nothing is loaded, which a Content-Security-Policy of the page itself makes sure of.
The page's style and scripts are the plain files in ``page/``; the scripts are modules and are joined here.
"""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import Candles, Pair, iso
from core.reports.backtest_report import BacktestReport, ReportRefusal, ReportTrade
from core.reports.page_data import packed_candles, packed_curve, packed_times, script_json, thinned
from core.reports.page_parts import asset, filled, policy, tile_html
from core.reports.page_tables import cumulated_r, groups, months, refusals

MOST_CANDLES = 400_000
"""More than that are thinned out to windows around the trades: two years of five pairs on 15m fit whole."""

_WARMUP, _BEFORE, _AFTER = 60, 150, 60  # candles ahead of the range for SMA 40; around a trade where thinned out
_SCRIPTS = ("format.js", "data.js", "view.js", "equity.js", "candles.js", "tables.js", "main.js")  # imported ones first


def backtest_page(report: BacktestReport, most_candles: int = MOST_CANDLES) -> str:
    """The whole file as text. ``most_candles`` bounds its size; where it is passed the page says what it leaves out."""
    shown, left_out = _shown(report, most_candles)
    data = {
        "account": report.account is not None,
        "from": report.start_ms,
        "to": report.end_ms,
        "maxGap": report.settings.candles.max_gap,
        "pairs": [{"name": str(pair), **packed_candles(candles)} for pair, candles in shown.items()],
        "trades": _trade_columns(report.trades, list(shown)),
        "refused": _refused_rows(report.refused, list(shown)),
        "curve": _curve(report),
        "groups": groups(report.trades),
        "months": months(report.trades, report.account),
        "refusals": refusals(report.refused),
    }
    style = asset("page.css")
    script = _joined_scripts()
    frame = next(iter(report.candles.values())).timeframe.name if report.candles else report.settings.timeframe
    parts = {
        "policy": policy(style, script),
        "style": style,
        "script": script,
        "data": script_json(data),
        "title": html.escape(f"Backtest {', '.join(str(p) for p in report.candles)}"),
        "range": html.escape(f"{_day(report.start_ms)} to {_day(report.end_ms)} UTC"),
        "pairs": html.escape(" · ".join(str(p) for p in report.candles) or "no pairs"),
        "frame": html.escape(frame),
        "costs": html.escape(_costs(report.settings)),
        "tiles": "".join(tile_html(tile) for tile in report.tiles),
        "notes": "".join(f"<p>{html.escape(note)}</p>" for note in (*_empty(report), *report.notes, *left_out)),
        "settings": "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in _settings(report)),
    }
    return filled(asset("page.html"), parts)


def _shown(report: BacktestReport, most: int) -> tuple[dict[Pair, Candles], tuple[str, ...]]:
    """The candles that the page carries, and sentences on what it does not."""
    whole = {pair: _in_range(candles, report.start_ms, report.end_ms) for pair, candles in report.candles.items()}
    count = sum(len(candles) for candles in whole.values())
    if count <= most:
        return whole, ()
    spans: dict[Pair, list[tuple[int, int]]] = {pair: [] for pair in whole}
    room, kept = most, 0
    for trade in reversed(report.trades):  # the newest first: they say most about today
        room -= trade.follow.bars + 1 + _BEFORE + _AFTER
        if room < 0:
            break
        pair = trade.candidate.pair
        if pair in spans:
            spans[pair].append((trade.follow.entry_time, trade.follow.exit_time or trade.follow.entry_time))
        kept += 1
    shown = {pair: thinned(candles, spans[pair], _BEFORE, _AFTER) for pair, candles in whole.items()}
    words = f"{count:,} candles are too many for one page: it holds those around "
    words += "the trades." if kept == len(report.trades) else f"the newest {kept:,} of {len(report.trades):,} trades."
    return shown, (words,)


def _in_range(candles: Candles, start_ms: int, end_ms: int) -> Candles:
    first = max(0, int(np.searchsorted(candles.time, start_ms)) - _WARMUP)
    return candles.rows(first, int(np.searchsorted(candles.time, end_ms)))


def _trade_columns(trades: tuple[ReportTrade, ...], pairs: list[Pair]) -> list[list[Any]]:
    """One list per trade, in the order that ``page/data.js`` reads; times in seconds."""
    place = {pair: index for index, pair in enumerate(pairs)}
    return [
        [
            place.get(t.candidate.pair, -1),
            t.candidate.direction.sign,
            t.follow.entry_time // 1000,
            t.follow.exit_time // 1000 if t.follow.exit_time is not None else None,
            t.candidate.snapshot.regime.value,
            _rounded(t.follow.realized_r),
            _rounded(t.r_net),
            None if t.pnl is None else round(t.pnl, 2),
            t.follow.exit_reason.value if t.follow.exit_reason is not None else None,
            t.follow.bars,
            int(t.follow.ambiguous),
            _rounded(t.follow.mfe_r),
            _rounded(t.follow.mae_r),
            [_price(p) for p in (t.follow.levels.entry, t.follow.levels.stop, *t.follow.levels.targets)],
            [[leg.name, leg.time // 1000, _price(leg.price), leg.fraction, _rounded(leg.r)] for leg in t.follow.legs],
        ]
        for t in trades
    ]


def _refused_rows(refused: tuple[ReportRefusal, ...], pairs: list[Pair]) -> list[list[Any]]:
    place = {pair: index for index, pair in enumerate(pairs)}
    return [
        [place.get(r.candidate.pair, -1), r.candidate.direction.sign, r.candidate.open_time // 1000, r.verdict.sentence]
        for r in refused
    ]


def _curve(report: BacktestReport) -> dict[str, Any] | None:
    """Equity with its benchmark; without an account the net R that closed trades have summed up to."""
    account = report.account
    if account is None and report.trades:
        step = report.trades[0].candidate.timeframe.ms
        time = np.arange(report.start_ms - report.start_ms % step, report.end_ms + step, step)
        summed = cumulated_r(report.trades, time)
        return {"unit": "R", "time": packed_times(time, step), "equity": packed_curve(summed), "benchmark": None}
    if account is None or not len(account.time):
        return None
    steps = np.diff(account.time)
    return {
        "unit": "USDT",
        "time": packed_times(account.time, int(steps.min()) if len(steps) else 1),
        "equity": packed_curve(account.equity),
        "benchmark": packed_curve(account.benchmark) if account.benchmark.min() > 0 else None,
    }


def _empty(report: BacktestReport) -> tuple[str, ...]:
    if report.trades:
        return ()
    if report.refused:
        return (f"No trades: {len(report.refused)} signals, all refused. The table of refusals says by what.",)
    return ("No signals in this range, so there are no trades to show. A longer range or more pairs may have some.",)


def _settings(report: BacktestReport) -> list[tuple[str, str]]:
    """The settings that decide the result, by their names in ``config.yaml``."""
    content = report.settings.model_dump(mode="json")
    found = [("fills", content["fills"])]
    for section in ("paper", "strategy", "portfolio", "rules"):
        found += [(f"{section}.{key}", _plain(value)) for key, value in content[section].items()]
    found += [(f"risk of {pair}", f"{report.settings.risk_of(pair):g}") for pair in report.candles]
    return found


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _costs(settings: Settings) -> str:
    paper = settings.paper
    fills = "a gap through the stop fills at the stop" if settings.fills == "reference" else "gaps fill at the open"
    return f"fee {paper.fee_rate:.3%} and slippage {paper.slippage_rate:.3%} a side · {fills}"


def _day(ms: int) -> str:
    """``2024-01-03``, with the time where it is not midnight."""
    text = iso(ms)
    return text[:10] if text.endswith("T00:00:00Z") else f"{text[:10]} {text[11:16]}"


def _rounded(r: float) -> float:
    return round(r, 4)


def _price(price: float) -> float:
    return float(f"{price:.8g}")


def _joined_scripts() -> str:
    """The modules as one: without their imports of each other, and with every name of theirs in one scope."""
    text = "\n".join(asset(name) for name in _SCRIPTS)
    text = re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE)
