"""The answers of ``julaba check`` in a trader's words: at most 100 columns, and one verdict."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.domain.candles import FloatArray, iso

if TYPE_CHECKING:
    from core.services.checks.account import AccountLookahead
    from core.services.checks.differences import Difference
    from core.services.checks.lookahead import Leak, PairLookahead
    from core.services.checks.montecarlo import MonteCarlo
    from core.services.checks.parity import Parity
    from core.services.checks.significance import Comparison
    from core.services.checks.warmup import Warmup

_SHOWN = 10  # leaks or differences in a text answer; --json has them all
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_CHANCE = 0.05


# -- lookahead --


def lookahead_text(found: Sequence[PairLookahead], account: AccountLookahead) -> str:
    rows = [
        (str(p.pair), f"{p.candles:,}", str(p.cuts), f"{p.compared:,}", str(len(p.leaks)), _rounding(p)) for p in found
    ]
    lines = _table(("pair", "candles", "cuts", "values compared", "leaks", "rounding"), rows)
    leaks = [leak for part in found for leak in part.leaks]
    if leaks:
        shown = [(str(k.pair), k.column, str(k.row), iso(k.time), _value(k.whole), _value(k.found)) for k in leaks]
        lines += [
            "",
            *_table(("pair", "column", "first row", "open time", "with the future", "without"), shown[:_SHOWN]),
        ]
        lines += _more(leaks)
    lines += [
        "",
        wrapped(
            f"The account, cut at {account.cuts} closes: {account.trades} trades, {account.refused} refusals and "
            f"{account.closes:,} closes, {len(account.differences)} differences"
        ),
    ]
    if account.differences:
        lines += ["", *_differences(account.differences, "with the future", "without")]
    return "\n".join(lines)


def _differences(found: Sequence[Difference], first: str, second: str) -> list[str]:
    shown = [(d.pair, d.time, d.field, _any(d.first), _any(d.second)) for d in found[:_SHOWN]]
    return [*_table(("pair", "time", "field", first, second), shown), *_more(found)]


def _more(found: Sequence[object]) -> list[str]:
    return [f"... and {len(found) - _SHOWN} more (--json has them all)"] if len(found) > _SHOWN else []


def lookahead_verdict(found: Sequence[PairLookahead], account: AccountLookahead) -> str:
    leaks = sorted((leak for part in found for leak in part.leaks), key=lambda leak: leak.time)
    cuts = sum(part.cuts for part in found) + account.cuts
    if leaks:
        return f"LOOK-AHEAD: {_leak_words(leaks[0])}" + (f" {len(leaks) - 1} more." if len(leaks) > 1 else "")
    if account.differences:
        d = account.differences[0]
        return (
            f"LOOK-AHEAD: {d.field} of {d.pair} at {d.time} is {_any(d.first)} for an account that was given later "
            f"candles and {_any(d.second)} for one that was not."
        )
    rounded = sorted({name for part in found for name in part.rounding})
    same = f"bit by bit but for rounding in {', '.join(rounded)}" if rounded else "bit by bit"
    return (
        f"No look-ahead: cutting the candles at {cuts} places, and changing what came after, left every value, "
        f"decision, finished trade and equity as it was, {same}."
    )


def _leak_words(leak: Leak) -> str:
    return (
        f"{leak.column} of {leak.pair} at {iso(leak.time)} (row {leak.row}) is {_value(leak.whole)} with the candles "
        f"behind row {leak.cut - 1} and {_value(leak.found)} "
        f"{'without them' if leak.how == 'cut' else 'when they are others'}."
    )


def _rounding(part: PairLookahead) -> str:
    if not part.rounding:
        return "none"
    name, worst = max(part.rounding.items(), key=lambda item: item[1])
    return f"{name} {worst:.0e}"


def _value(value: float) -> str:
    return "nothing" if math.isnan(value) else f"{value:.10g}"


# -- warmup --

_GROUPS = {
    "averages": ("sma_15", "sma_40", "volume_sma", "volume_ratio", "sma_distance_percent"),
    "RSI": ("rsi",),
    "ADX": ("adx",),
    "DI": ("di_plus", "di_minus"),
    "ATR": ("atr", "atr_percent"),
    "Hurst": ("hurst",),
}


def warmup_text(found: Warmup) -> str:
    rows = []
    for at, length in enumerate(found.lengths):
        worst = (max(found.worst[name][at] for name in names) for names in _GROUPS.values())
        shares = (found.regimes[at], found.candidates[at], found.signals[at])
        rows.append((f"{length}", *(_tiny(w) for w in worst), *(_share(s) for s in shares)))
    lines = [
        wrapped(
            f"{found.rows:,} candles of {len(found.pairs)} pairs, {found.crossing_rows:,} of them candidates, "
            "each with so much history against all of it"
        ),
        "",
        *_table(("history", *_GROUPS, "regimes", "candidates", "signals"), rows),
        "",
        "Worst relative difference of each value; share of regimes, candidates and signals that differ.",
    ]
    return "\n".join(lines)


def warmup_verdict(found: Warmup) -> str:
    if found.faults:
        return "TOO SHORT: " + "; ".join(found.faults) + "."
    return (
        f"Long enough: from {found.settled} candles on no value changes by more than 1e-9 (candles.history is "
        f"{found.settings.history}), from {found.decided} on no decision (candles.min_history is "
        f"{found.settings.min_history})."
    )


def _tiny(value: float) -> str:
    return "0" if value == 0 else "undefined" if math.isinf(value) else f"{value:.0e}"


def _share(value: float) -> str:
    return "0" if value == 0 else f"{value:.2%}"


# -- parity --


def parity_text(found: Sequence[Parity]) -> str:
    rows = [
        (
            "all layers, portfolio backtest" if p.layers else "bare strategy, backtest",
            str(p.compared),
            str(p.refused) if p.layers else "-",
            str(p.closes) if p.layers else "-",
            str(len(p.differences)),
        )
        for p in found
    ]
    lines = _table(("replay against", "trades", "refusals", "closes", "differences"), rows)
    differences = [d for part in found for d in part.differences]
    if differences:
        lines += ["", *_differences(differences, "backtest", "replay")]
    return "\n".join(lines)


def parity_verdict(found: Sequence[Parity]) -> str:
    differences = [d for part in found for d in part.differences]
    if not differences:
        return (
            f"The live loop and the backtest agree on all {sum(p.compared for p in found)} trades, "
            f"{sum(p.refused for p in found)} refusals and {sum(p.closes for p in found):,} closes of the account."
        )
    d = differences[0]
    return (
        f"DIFFERENT: {d.field} of {d.pair} at {d.time} is {_any(d.first)} in the backtest and "
        f"{_any(d.second)} in the replay"
        + (f"; {len(differences) - 1} more differences." if len(differences) > 1 else ".")
    )


def _any(value: object) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)


# -- montecarlo --


def montecarlo_text(found: MonteCarlo) -> str:
    lines: list[str] = []
    headings = ("", *(f"{level:.0%}" for level in _LEVELS), "in fact")
    if (orders := found.orders) is not None:
        final, fall = orders.real
        lines += [
            wrapped(
                f"The {orders.trades} trades the account took, in {len(orders.drawn.final):,} other orders "
                f"(those of one of the {orders.days} days stay together)"
            ),
            "",
            *_table(
                headings,
                [
                    ("deepest fall, shuffled", *_percents(orders.shuffled.drawdown), f"{fall:.1%}"),
                    ("deepest fall, drawn anew", *_percents(orders.drawn.drawdown), f"{fall:.1%}"),
                    ("final equity, drawn anew", *_changes(orders.drawn.final), f"{final - 1:+.1%}"),
                ],
            ),
            "",
            _odds(orders.drawn.final, orders.drawn.drawdown, found.limit),
        ]
    else:
        lines += ["The account took no trade, so there is no order to change."]
    if (markets := found.markets) is not None:
        real = markets.real
        lines += [
            "",
            wrapped(
                f"{len(markets.final):,} other markets of {markets.days} days, out of {markets.source_days} whole days "
                f"in blocks of {markets.block_days:g} on average"
            ),
            "",
            *_table(
                headings,
                [
                    ("final equity", *_changes(markets.final), f"{real['final'] - 1:+.1%}"),
                    ("deepest fall", *_percents(markets.drawdown), f"{real['drawdown']:.1%}"),
                    ("net R", *(f"{v:+.1f}" for v in _spread(markets.net_r)), f"{real['net_r']:+.1f}"),
                    ("trades won net", *_percents(markets.win_rate), _percent(real["win_rate"])),
                    ("trades", *(f"{v:.0f}" for v in _spread(markets.trades)), f"{real['trades']:.0f}"),
                ],
            ),
            "",
            _odds(markets.final, markets.drawdown, found.limit),
        ]
    else:
        lines += ["", "No whole day that every pair has all candles of, so there is no other market."]
    if found.paused_since is not None:
        lines += ["", f"In fact entries were paused by the drawdown limit from {iso(found.paused_since)} on."]
    return "\n".join(lines)


def montecarlo_verdict(found: MonteCarlo) -> str:
    cases = found.markets if found.markets is not None else found.orders.drawn if found.orders is not None else None
    if cases is None:
        return "There is nothing that chance could have changed."
    low, middle, high = (float(v) - 1 for v in np.quantile(cases.final, (0.05, 0.5, 0.95)))
    return (
        f"In nine of ten cases the account ends between {low:+.0%} and {high:+.0%} (half of them above {middle:+.0%}); "
        f"be ready for a fall of {float(np.quantile(cases.drawdown, 0.95)):.0%}, which one case in twenty exceeds."
    )


def montecarlo_data(found: MonteCarlo) -> dict[str, Any]:
    data: dict[str, Any] = {"orders": None, "markets": None, "drawdown_pause": found.limit}
    data["paused_since"] = None if found.paused_since is None else iso(found.paused_since)
    if (orders := found.orders) is not None:
        data["orders"] = {
            "trades": orders.trades,
            "days": orders.days,
            "trials": len(orders.drawn.final),
            "in_fact": {"final": orders.real[0], "drawdown": orders.real[1]},
            "shuffled": {"drawdown": _levels(orders.shuffled.drawdown)},
            "drawn": {
                "final": _levels(orders.drawn.final),
                "drawdown": _levels(orders.drawn.drawdown),
                **_chances(orders.drawn.final, orders.drawn.drawdown, found.limit),
            },
        }
    if (markets := found.markets) is not None:
        data["markets"] = {
            "markets": len(markets.final),
            "days": markets.days,
            "source_days": markets.source_days,
            "block_days": markets.block_days,
            "in_fact": dict(markets.real),
            "final": _levels(markets.final),
            "drawdown": _levels(markets.drawdown),
            "net_r": _levels(markets.net_r),
            "win_rate": _levels(markets.win_rate),
            "trades": _levels(markets.trades),
            **_chances(markets.final, markets.drawdown, found.limit),
        }
    return data


def _chances(final: FloatArray, drawdown: FloatArray, limit: float) -> dict[str, float]:
    return {"below_start": float((final < 1).mean()), "reaches_pause": float((drawdown >= limit).mean())}


def _odds(final: FloatArray, drawdown: FloatArray, limit: float) -> str:
    chances = _chances(final, drawdown, limit)
    return (
        f"Ends below the start in {chances['below_start']:.0%}; falls by the {limit:.0%} that pauses entries in "
        f"{chances['reaches_pause']:.0%}."
    )


def _spread(values: FloatArray) -> list[float]:
    known = values[~np.isnan(values)]
    return [float(v) for v in np.quantile(known, _LEVELS)] if len(known) else [math.nan] * len(_LEVELS)


def _levels(values: FloatArray) -> dict[str, float]:
    return {f"p{round(level * 100)}": value for level, value in zip(_LEVELS, _spread(values), strict=True)}


def _percents(values: FloatArray) -> list[str]:
    return [_percent(v) for v in _spread(values)]


def _changes(values: FloatArray) -> list[str]:
    return [f"{v - 1:+.1%}" for v in _spread(values)]


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


# -- significance --


def significance_text(lines: Sequence[Comparison]) -> str:
    rows = []
    for line in lines:
        low, middle, high = (float(v) for v in np.quantile(line.null, (0.05, 0.5, 0.95)))
        reach = f"{low:+.3f} {middle:+.3f} {high:+.3f}"
        rows.append((f"{line.what}, {line.way}", f"{line.n:,}", f"{line.mean:+.3f}", reach, f"{line.p:.3f}"))
    text = [
        *_table(("entries", "n", "mean R", "random: 5% half 95%", "p"), rows),
        "",
        wrapped(
            f"{len(lines[0].null):,} chance shifts in time, all pairs together; R is gross, in units of "
            "the stop distance."
        ),
        "Same holding: from close to close after as many candles. Same exits: by the stop and the targets.",
    ]
    if (kept := min(line.kept for line in lines)) < 0.995:
        text += [f"{1 - kept:.1%} of the shifted entries fell where candles are missing and were left out."]
    return "\n".join(text)


def significance_verdict(lines: Sequence[Comparison]) -> str:
    said = [
        f"{what.capitalize()} {_against_chance([line.p for line in lines if line.what == what])}."
        for what in dict.fromkeys(line.what for line in lines)
    ]
    return " ".join(said)


def _against_chance(p: Sequence[float]) -> str:
    words = f"(p {' and '.join(f'{x:.2f}' for x in p)})"
    if max(p) <= _CHANCE:
        return f"do better than entries at random times {words}"
    if min(p) >= 1 - _CHANCE:
        return f"do worse than entries at random times {words}"
    if min(p) <= _CHANCE:
        return f"do better than entries at random times in one way of looking only {words}"
    return f"cannot be told from entries at random times {words}"


def comparison_data(line: Comparison) -> dict[str, Any]:
    low, middle, high = (float(v) for v in np.quantile(line.null, (0.05, 0.5, 0.95)))
    return {
        "entries": line.what,
        "way": line.way,
        "n": line.n,
        "mean": line.mean,
        "null_mean": float(line.null.mean()),
        "null_p5": low,
        "null_p50": middle,
        "null_p95": high,
        "p": line.p,
        "trials": len(line.null),
        "kept": line.kept,
    }


# -- tables --


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))

    return [line(headings), "  ".join("-" * width for width in widths), *map(line, rows)]


def wrapped(text: str) -> str:
    """A verdict in lines of 100 columns."""
    return "\n".join(textwrap.wrap(text, 100))
