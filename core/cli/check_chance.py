"""``julaba check montecarlo | significance``: what chance could have made of it, or has."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.cli import Context
from core.cli.check_material import answer, common, count, material_of, paragraph
from core.cli.options import add_seed, seed_of
from core.cli.pictures import write_picture
from core.cli.text import bar_of, table
from core.domain.candles import FloatArray, iso
from core.errors import DataError

if TYPE_CHECKING:
    from core.services.checks.montecarlo import MonteCarlo
    from core.services.checks.significance import Comparison

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_CHANCE = 0.05

# -- montecarlo --


def montecarlo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The account's trades in other orders, and other markets made of the real days in blocks through the whole "
        "portfolio backtest: how the final equity and the drawdown are spread."
    )
    common(parser, "90")
    count(parser, "--trials", 1000, "orders of the trades")
    count(parser, "--markets", 200, "other markets")
    count(parser, "--block-days", 3, "mean length of a block of days")
    add_seed(parser, "the draws")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the picture there")


def montecarlo(args: argparse.Namespace, context: Context) -> int:
    from core.services.checks.montecarlo import check_montecarlo

    material = material_of(args, context, default_days=90, btc=True)
    seed = seed_of(args, context.settings)
    with bar_of("montecarlo", "market") as bar:
        found = check_montecarlo(
            material.candles,
            material.settings,
            material.start,
            material.end,
            trials=args.trials,
            markets=args.markets,
            block_days=args.block_days,
            seed=seed,
            progress=bar,
        )
    if found.orders is None and found.markets is None:
        raise DataError("no trade and no whole day in this range to draw from; take more days")
    if args.png is not None:
        _draw(found, args.png)
    data = montecarlo_data(found) | {"seed": seed, "png": None if args.png is None else str(args.png)}
    verdict = montecarlo_verdict(found)
    return answer(context, material, data, verdict, montecarlo_text(found), ok=True)


def _draw(found: MonteCarlo, path: Path) -> None:
    from core.reports.check_charts import Chance, montecarlo_chart

    blocks = []
    if (orders := found.orders) is not None:
        note = f"{len(orders.drawn.final):,} draws of {orders.days} days with trades; those of a day stay together"
        title = f"The same {orders.trades} trades, drawn anew"
        drawn = orders.drawn
        blocks.append(Chance(title, note, "days", drawn.fan, drawn.final, drawn.drawdown, *orders.real))
    if (markets := found.markets) is not None:
        note = f"{len(markets.final):,} markets, blocks of {markets.block_days:g} days on average, all pairs together"
        real = markets.real["final"], markets.real["drawdown"]
        blocks.append(
            Chance(
                "Other markets out of the same days", note, "days", markets.fan, markets.final, markets.drawdown, *real
            )
        )
    picture = montecarlo_chart("What chance could have made of it", blocks, found.limit)
    write_picture(path, picture)


def montecarlo_text(found: MonteCarlo) -> str:
    lines: list[str] = []
    headings = ("", *(f"{level:.0%}" for level in _LEVELS), "in fact")
    if (orders := found.orders) is not None:
        final, fall = orders.real
        lines += [
            paragraph(
                f"The {orders.trades} trades the account took, in {len(orders.drawn.final):,} other orders "
                f"(those of one of the {orders.days} days stay together)"
            ),
            "",
            *table(
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
            paragraph(
                f"{len(markets.final):,} other markets of {markets.days} days, out of {markets.source_days} whole days "
                f"in blocks of {markets.block_days:g} on average"
            ),
            "",
            *table(
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
            "paused": float(markets.paused.mean()),
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


def significance_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Whether entries at the rule's moments do better than the same entries at other moments: shifted along the "
        "timeline by chance, all pairs together, with the same directions and holding times, or with the same exits."
    )
    common(parser)
    count(parser, "--trials", 1000, "chance shifts")
    add_seed(parser, "the shifts")


def significance(args: argparse.Namespace, context: Context) -> int:
    from core.services.checks.significance import check_significance

    material = material_of(args, context)
    seed = seed_of(args, context.settings)
    with bar_of("significance", "line") as bar:
        lines = check_significance(
            material.candles,
            material.settings,
            material.start,
            material.end,
            trials=args.trials,
            seed=seed,
            progress=bar,
        )
    if not lines:
        raise DataError("no entry in this range to test; take more days")
    data = {"lines": [comparison_data(line) for line in lines], "seed": seed}
    verdict = significance_verdict(lines)
    return answer(context, material, data, verdict, significance_text(lines), ok=True)


def significance_text(lines: Sequence[Comparison]) -> str:
    rows = []
    for line in lines:
        low, middle, high = (float(v) for v in np.quantile(line.null, (0.05, 0.5, 0.95)))
        reach = f"{low:+.3f} {middle:+.3f} {high:+.3f}"
        rows.append((f"{line.what}, {line.way}", f"{line.n:,}", f"{line.mean:+.3f}", reach, f"{line.p:.3f}"))
    text = [
        *table(("entries", "n", "mean R", "random: 5% half 95%", "p"), rows),
        "",
        paragraph(
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
    return " ".join([*said, "All before costs."])


def _against_chance(p: Sequence[float]) -> str:
    words = f"(p {' and '.join(f'{x:.2f}' if x >= 0.1 else f'{x:.3f}' for x in p)})"
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
