"""``julaba check lookahead | warmup | parity``: whether the figures are what they say they are."""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context
from core.cli.check_material import SHOWN, Material, answer, common, count, material_of, paragraph
from core.cli.text import bar_of, table
from core.domain.candles import iso, to_datetime
from core.errors import DataError

if TYPE_CHECKING:
    from core.ports import Ledger
    from core.services.checks.account import AccountLookahead
    from core.services.checks.differences import Difference
    from core.services.checks.lookahead import Leak, PairLookahead
    from core.services.checks.parity import Parity
    from core.services.checks.warmup import Warmup

# -- lookahead --


def lookahead_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cuts the candles at many places, works everything out again, and compares every value, decision and finished "
        "trade before the cut; then changes the candles behind the cut instead. Exit 1 where anything differs."
    )
    common(parser)
    count(parser, "--cuts", 100, "places to cut at per pair, half of them right after candidates")


def lookahead(args: argparse.Namespace, context: Context) -> int:
    from core.services.checks.account import check_account
    from core.services.checks.lookahead import check_lookahead, strategy_study

    material = material_of(args, context, btc=True)
    study = strategy_study(material.settings)
    pairs = [material.range[pair] for pair in material.settings.traded]
    found = []
    with bar_of("lookahead", "cut") as bar:
        for number, candles in enumerate(pairs):

            def progress(done: int, _: int, before: int = number * args.cuts) -> None:
                bar(before + done, len(pairs) * args.cuts)

            found.append(check_lookahead(candles, study, args.cuts, progress=progress))
    with bar_of("lookahead, account", "cut") as bar:
        account = check_account(
            material.candles, material.settings, material.start, material.end, max(1, args.cuts // 10), progress=bar
        )
    ok = not account.differences and not any(part.leaks for part in found)
    data = {
        "account": {
            "cuts": account.cuts,
            "trades": account.trades,
            "refusals": account.refused,
            "closes": account.closes,
            "differences": [
                {"pair": d.pair, "time": d.time, "field": d.field, "whole": d.first, "found": d.second}
                for d in account.differences
            ],
        },
        "pairs": {
            str(part.pair): {
                "candles": part.candles,
                "cuts": part.cuts,
                "compared": part.compared,
                "rounding": dict(part.rounding),
                "leaks": [asdict(leak) | {"pair": str(leak.pair), "time": iso(leak.time)} for leak in part.leaks],
            }
            for part in found
        },
    }
    verdict = lookahead_verdict(found, account)
    return answer(context, material, data, verdict, lookahead_text(found, account), ok=ok)


def lookahead_text(found: Sequence[PairLookahead], account: AccountLookahead) -> str:
    rows = [
        (str(p.pair), f"{p.candles:,}", str(p.cuts), f"{p.compared:,}", str(len(p.leaks)), _rounding(p)) for p in found
    ]
    lines = table(("pair", "candles", "cuts", "values compared", "leaks", "rounding"), rows)
    leaks = [leak for part in found for leak in part.leaks]
    if leaks:
        shown = [(str(k.pair), k.column, str(k.row), iso(k.time), _value(k.whole), _value(k.found)) for k in leaks]
        lines += [
            "",
            *table(("pair", "column", "first row", "open time", "with the future", "without"), shown[:SHOWN]),
        ]
        lines += _more(leaks)
    lines += [
        "",
        paragraph(
            f"The account, cut at {account.cuts} closes: {account.trades} trades, {account.refused} refusals and "
            f"{account.closes:,} closes, {len(account.differences)} differences"
        ),
    ]
    if account.differences:
        lines += ["", *_differences(account.differences, "with the future", "without")]
    return "\n".join(lines)


def _differences(found: Sequence[Difference], first: str, second: str) -> list[str]:
    shown = [(d.pair, d.time, d.field, _any(d.first), _any(d.second)) for d in found[:SHOWN]]
    return [*table(("pair", "time", "field", first, second), shown), *_more(found)]


def _more(found: Sequence[object]) -> list[str]:
    return [f"... and {len(found) - SHOWN} more (--json has them all)"] if len(found) > SHOWN else []


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


def warmup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "How far each value and decision at a candle depends on how much history was given, for 100 to 2000 candles, "
        "and whether candles.history and candles.min_history are enough. Exit 1 where they are not."
    )
    common(parser)
    count(parser, "--rows", 100, "candles looked at per pair, half of them candidates")


def warmup(args: argparse.Namespace, context: Context) -> int:
    from core.services.checks.warmup import LENGTHS, check_warmup

    material = material_of(args, context)
    with bar_of("warmup", "row") as bar:
        found = check_warmup(material.range, material.settings, args.rows, progress=bar)
    if found is None:
        most = max(len(c) for c in material.range.values())
        raise DataError(
            f"no pair has {2 * LENGTHS[-1]} candles without a long gap in this range (most: {most}); take more days"
        )
    data = {
        "rows": found.rows,
        "candidate_rows": found.crossing_rows,
        "lengths": found.lengths,
        "worst": found.worst,
        "regimes": found.regimes,
        "candidates": found.candidates,
        "signals": found.signals,
        "settled": found.settled,
        "decided": found.decided,
        "history": found.settings.history,
        "min_history": found.settings.min_history,
    }
    verdict = warmup_verdict(found)
    return answer(context, material, data, verdict, warmup_text(found), ok=not found.faults)


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
        paragraph(
            f"{found.rows:,} candles of {len(found.pairs)} pairs, {found.crossing_rows:,} of them candidates, "
            "each with so much history against all of it"
        ),
        "",
        *table(("history", *_GROUPS, "regimes", "candidates", "signals"), rows),
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


def parity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Replays stored candles through the live loop, once as the bare strategy and once with all layers, and holds "
        "every trade, refusal and close against the backtest and the portfolio backtest. Exit 1 where they differ."
    )
    common(parser, "30")


def parity(args: argparse.Namespace, context: Context) -> int:
    material = material_of(args, context, default_days=30, btc=True)
    found = asyncio.run(_both(material))
    if not any(part.compared for part in found):
        raise DataError("no trade in this range to compare; take more days")
    data = {
        "layers" if part.layers else "bare": {
            "trades": part.compared,
            "refusals": part.refused,
            "closes": part.closes,
            "differences": [
                {"pair": d.pair, "time": d.time, "field": d.field, "backtest": d.first, "replay": d.second}
                for d in part.differences
            ],
        }
        for part in found
    }
    verdict = parity_verdict(found)
    text = parity_text(found)
    return answer(context, material, data, verdict, text, ok=not any(p.differences for p in found))


async def _both(material: Material) -> list[Parity]:
    from core.services.checks.parity import check_parity

    found = []
    with TemporaryDirectory(prefix="julaba-parity-") as folder:
        for layers in (False, True):

            @asynccontextmanager
            async def books(name: str = str(layers)) -> AsyncIterator[Ledger]:
                async with bootstrap.replay_ledger(Path(folder) / f"{name}.sqlite") as ledger:
                    yield ledger

            with bar_of("parity, all layers" if layers else "parity, bare", "candle") as bar:
                found.append(
                    await check_parity(
                        material.candles,
                        material.settings,
                        books,
                        lambda ms: bootstrap.replay_clock(to_datetime(ms)),
                        material.start,
                        material.end,
                        layers=layers,
                        progress=bar,
                    )
                )
    return found


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
    lines = table(("replay against", "trades", "refusals", "closes", "differences"), rows)
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
