"""A sweep's verdict as a table with its explanation, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.domain.candles import iso
from core.services.sweep.heat import shown
from core.services.sweep.plan import KINDS, Kind
from core.services.sweep.verdict import YEAR_DAYS, Choice, Side, Verdict

SHOWN = 15
"""How many settings the table and the JSON name; all of them are in the Parquet file."""

_NAMES: dict[Kind, str] = {"is": "in-sample", "oos": "out-of-sample"}
_SKILL = 0.95
_COLUMNS = ("trades", "gross", "net", "R/trade", "Sharpe", "DSR")


def to_json(verdict: Verdict, sort: Kind) -> dict[str, Any]:
    """What was found, as JSON can hold it: None where nothing can be said."""
    sweep, walk = verdict.sweep, verdict.walk_forward
    return {
        "id": sweep.sweep_id,
        "settings": len(sweep.settings),
        "combinations": sweep.grid.combinations,
        "pairs": [str(pair) for pair in sweep.ground.pairs],
        "from": iso(sweep.ground.segments[0].start_ms),
        "to": iso(sweep.ground.end_ms),
        "windows": sweep.manifest["segments"],
        "sort": sort,
        "best": [{**_setting_json(verdict, n), "alike": alike} for n, alike in verdict.distinct(sort)[:SHOWN]],
        "configured": None if sweep.configured is None else _setting_json(verdict, sweep.configured),
        "best_by_pair": [asdict(share) for share in verdict.by_pair],
        "trials": {kind: _trials_json(verdict.side(kind)) for kind in KINDS},
        "agreement": verdict.agreement,
        "walk_forward": {
            "choices": [_choice_json(verdict, choice) for choice in walk.choices],
            "trades": walk.trades,
            "wins": walk.wins,
            "realized_r": walk.gross_r,
            "realized_r_net": walk.net_r,
            "max_drawdown_r": walk.drawdown_r,
            "sharpe": walk.sharpe,
            "probability_above_zero": walk.skill,
            "mean_of_all_settings_r_net": walk.everybody_net_r,
        },
    }


def _setting_json(verdict: Verdict, number: int) -> dict[str, Any]:
    return {
        "setting": number,
        "values": _values(verdict, number),
        "configured": number == verdict.sweep.configured,
        **{kind: _side_json(verdict.side(kind), number) for kind in KINDS},
    }


def _values(verdict: Verdict, number: int) -> dict[str, Any]:
    return dict(zip(verdict.sweep.grid.keys, verdict.sweep.settings[number].values, strict=True))


def _side_json(side: Side, number: int) -> dict[str, Any]:
    return {
        "trades": int(side.trades[number]),
        "wins": int(side.wins[number]),
        "realized_r": float(side.gross_r[number]),
        "realized_r_net": float(side.net_r[number]),
        "net_per_trade": _number(side.net_per_trade[number]),
        "max_drawdown_r": float(side.drawdown_r[number]),
        "sharpe": _number(side.sharpe[number]),
        "deflated_sharpe": _number(side.deflated[number]),
    }


def _trials_json(side: Side) -> dict[str, Any]:
    trials = side.trials
    return {
        "traded": trials.count,
        "distinct": trials.distinct,
        "effective": trials.effective,
        "days": side.days,
        "expected_best_sharpe": trials.expected_best * math.sqrt(YEAR_DAYS),
    }


def _choice_json(verdict: Verdict, choice: Choice) -> dict[str, Any]:
    return {
        "window": choice.window,
        "setting": choice.setting,
        "values": None if choice.setting is None else _values(verdict, choice.setting),
        "in_sample_r_net": choice.is_net_r,
        "trades": choice.trades,
        "wins": choice.wins,
        "realized_r": choice.gross_r,
        "realized_r_net": choice.net_r,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def to_text(verdict: Verdict, sort: Kind) -> str:
    """For a person at a terminal."""
    sweep = verdict.sweep
    order = [number for number, _ in verdict.distinct(sort)[:SHOWN]]
    own = sweep.configured
    rows = [_row(verdict, number) for number in order]
    if own is not None and own not in order:
        rows.append(_row(verdict, own))
    left = len(sweep.grid.keys)
    lines = [
        f"{iso(sweep.ground.segments[0].start_ms)} to {iso(sweep.ground.end_ms)}, "
        f"{len(sweep.settings):,} settings, the best {len(order)} {_NAMES[sort]} by the Sharpe ratio:",
        "",
        *_table((*sweep.grid.keys, *_COLUMNS, *_COLUMNS), rows, left, verdict),
        "",
        *_luck(verdict),
        "",
        *_walk(verdict),
        "",
        *_pairs(verdict),
        "gross, net: R before and after costs. Sharpe: of the net R of all pairs per day, a year. DSR: the probability",
        "that this is more than the luck of the best of all settings tried (Bailey and Lopez de Prado 2014).",
        "Of settings that take the very same trades one is shown.",
    ]
    if own is not None:
        lines.append("*: as configured now.")
    return "\n".join(lines)


def picture_notes(verdict: Verdict) -> tuple[str, ...]:
    """Two lines below the heat map."""
    best, walk = verdict.best("is"), verdict.walk_forward
    if best is None:
        return ()
    return (
        f"Best of {verdict.in_sample.trials.distinct:,} in-sample: DSR {verdict.in_sample.deflated[best]:.2f}, "
        f"{_judged(float(verdict.in_sample.deflated[best]))}",
        f"Walk-forward: {_trades(walk.trades)}, {walk.net_r:+.1f} R net; mean of all {walk.everybody_net_r:+.1f} R",
    )


def _judged(deflated: float) -> str:
    if deflated >= _SKILL:
        return "more than the luck of the best"
    return "no more than luck" if deflated < 0.5 else f"not enough to call it skill (that takes {_SKILL:.2f})"


def _row(verdict: Verdict, number: int) -> tuple[str, ...]:
    values = [shown(value) for value in verdict.sweep.settings[number].values]
    if number == verdict.sweep.configured:
        values[0] = f"*{values[0]}"
    return (*values, *_cells(verdict.in_sample, number), *_cells(verdict.out_of_sample, number))


def _cells(side: Side, number: int) -> tuple[str, ...]:
    return (
        str(side.trades[number]),
        f"{side.gross_r[number]:+.1f}",
        f"{side.net_r[number]:+.1f}",
        _or_dash(side.net_per_trade[number], "+.2f"),
        _or_dash(side.sharpe[number], "+.2f"),
        _or_dash(side.deflated[number], ".2f"),
    )


def _or_dash(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int, verdict: Verdict) -> list[str]:
    """Three blocks side by side: the settings, in-sample, out-of-sample."""
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    cuts = (slice(0, left), slice(left, left + len(_COLUMNS)), slice(left + len(_COLUMNS), None))
    spans = [sum(widths[cut]) + 2 * (len(widths[cut]) - 1) for cut in cuts]
    names = ("", *(f"{_NAMES[kind]}, {verdict.side(kind).days} days" for kind in KINDS))

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return "  |  ".join("  ".join(padded[cut]) for cut in cuts)

    return [
        "  |  ".join(name.center(span) for name, span in zip(names, spans, strict=True)).rstrip(),
        line(headings),
        "--+--".join("-" * span for span in spans),
        *(line(row) for row in rows),
    ]


def _luck(verdict: Verdict) -> list[str]:
    side, best = verdict.in_sample, verdict.best("is")
    if best is None:
        return ["No setting traded in-sample."]
    trials = side.trials
    bar, seen, deflated = trials.expected_best * math.sqrt(YEAR_DAYS), side.sharpe[best], side.deflated[best]
    lines = [
        f"Luck: {trials.distinct:,} of {len(verdict.sweep.settings):,} settings trade differently in-sample "
        f"(about {trials.effective:,.0f} independent ones).",
        f"Without any skill the best of {trials.distinct:,} is expected to show a Sharpe ratio of {bar:.2f}; "
        f"the best shows {seen:+.2f}.",
        f"Its DSR is {deflated:.2f}: {_judged(float(deflated))}.",
    ]
    if verdict.agreement is not None:
        lines.append(
            f"The order in-sample and the order out-of-sample agree to {verdict.agreement:+.2f} "
            "(1: the same order, 0: none in common)."
        )
    return lines


def _pairs(verdict: Verdict) -> list[str]:
    """The best setting in-sample taken apart, where there is more than one pair."""
    if len(verdict.by_pair) < 2:
        return []
    lines = ["The best in-sample by pair:"]
    for share in verdict.by_pair:
        lines.append(
            f"  {share.pair:<11} {share.is_net_r:+7.1f} R net of {_trades(share.is_trades)} in-sample, "
            f"{share.oos_net_r:+.1f} R of {_trades(share.oos_trades)} out-of-sample"
        )
    return [*lines, ""]


def _walk(verdict: Verdict) -> list[str]:
    walk = verdict.walk_forward
    lines = ["Walk-forward: the best in-sample of each window, traded in the part behind it:"]
    for choice in walk.choices:
        if choice.setting is None:
            lines.append(f"  window {choice.window}: nothing traded in-sample")
            continue
        values = ", ".join(f"{key} {shown(value)}" for key, value in _values(verdict, choice.setting).items())
        lines.append(
            f"  window {choice.window}: {values}: {choice.is_net_r:+.1f} R in-sample, then {choice.trades} trades, "
            f"{choice.gross_r:+.1f} R gross, {choice.net_r:+.1f} R net"
        )
    total = f"In all {_trades(walk.trades)}, {walk.gross_r:+.1f} R gross, {walk.net_r:+.1f} R net"
    if walk.sharpe is not None and walk.skill is not None:
        total += f", Sharpe {walk.sharpe:+.2f}; {walk.skill:.0%} likely to be above 0"
    lines.append(f"{total}. The mean of all settings there: {walk.everybody_net_r:+.1f} R net.")
    return lines


def _trades(count: int) -> str:
    return "1 trade" if count == 1 else f"{count:,} trades"
