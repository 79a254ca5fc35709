"""``julaba worth``: what each layer was worth on the signals that were lived, and Gemini's scoreboard."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context, say
from core.cli.pictures import write_picture
from core.cli.text import between, bounded, number, percent, table, wrapped
from core.config import Settings
from core.domain.candles import to_ms
from core.services.worth import Evidence, evidence

if TYPE_CHECKING:
    from core.ml.measures import Bucket
    from core.ml.scoreboard import Score, Scoreboard, Side
    from core.ml.worth import Figures, LayerReport, LayerWorth


def worth_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The same closed signals with each layer and without it: alignment, BTC, Gemini, the model, all together. It "
        "looks at fixed counts of closed signals only, so asking often costs nothing; and Gemini's scoreboard."
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="everything that has closed, as one look: for a ledger that will not grow, such as a replay's",
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the layers there")


def worth(args: argparse.Namespace, context: Context) -> int:
    settings = context.settings
    found = asyncio.run(_read(args.ledger or bootstrap.ledger_path(context.data_dir), settings))
    report = found.report(whole=args.all)
    now = to_ms(bootstrap.computer_clock().now())
    if args.ledger is not None:  # another ledger, such as a replay's, ended when it ended
        now = min(now, max((d.decided_at for d in found.decisions), default=now))
    board = found.board(now, whole=args.all)
    png = _draw(args.png, report)
    context.result(
        {"layers": report.data(), "gemini": board.data(), "png": png}, "\n".join(_text(report, board, args.all))
    )
    return 0


async def _read(path: Path, settings: Settings) -> Evidence:
    async with bootstrap.open_ledger(path) as ledger:
        return await evidence(ledger, settings)


def _draw(path: Path | None, report: LayerReport) -> str | None:
    if path is None:
        return None
    if report.look is None:
        say(f"no picture yet: {report.conclusion}")
        return None
    from core.reports.worth_charts import layers_chart

    write_picture(path, layers_chart(report))
    return str(path)


# -- as text --

_LAYERS = ("layer", "asked", "changes", "with - without", "total R", "w/o", "fall", "w/o", "verdict")
_SETS = ("layer", "with", "win", "R gross", "R net", "w/o", "win", "R gross", "R net", "refused", "R net")


def _text(report: LayerReport, board: Scoreboard, whole: bool) -> list[str]:
    """Tables of at most 100 columns."""
    if not report.outcomes:
        return wrapped("No signal has closed yet: a layer's worth is told by signals that have ended, taken or not.")
    lines = [f"{report.outcomes} closed signals, {report.trades} of them trades"]
    if report.look is None:
        rows = [(layer.words, str(layer.asked), str(layer.apart), layer.verdict) for layer in report.layers]
        lines += ["", *table(("layer", "asked", "changes", "verdict"), rows), "", *wrapped(report.conclusion)]
        return [*lines, *_gemini(board)]
    if not whole:
        lines[0] += f"; what follows is of the first {report.look.n}, the next look at {report.look.following}"
    lines += ["", *table(_LAYERS, [_layer_row(layer) for layer in report.layers])]
    lines += ["", *table(_SETS, [_sets_row(layer) for layer in report.layers if layer.asked])]
    return [
        *lines,
        "",
        *wrapped(
            "with - without: mean net R per 1R risked, with its 95% interval; a rule that halves counts half. "
            "w/o: without the layer. fall: the deepest one of the R curve in the order of closing. refused: what it "
            "refused or halved, at full size. The model is counted on top of "
            f"Gemini with a weight of {report.weight:g}{', which nobody has approved: a what-if' * report.what_if}. "
            "helps, costs: beyond chance after Holm's correction, 5% over all looks there will ever be. What a layer "
            f"changes on fewer than 20 signals is not tested. Limits of the portfolio are left aside; the strategy's "
            "own filters: `julaba check filters`."
        ),
        "",
        *wrapped(report.conclusion),
        *_gemini(board),
    ]


def _layer_row(layer: LayerWorth) -> tuple[str, ...]:
    with_it, without = layer.with_it, layer.without
    return (
        layer.words,
        str(layer.asked),
        str(layer.apart),
        bounded(layer.difference, layer.low, layer.high, "+.2f"),
        *(_one(f, f.total if f else None) for f in (with_it, without)),
        *("-" if f is None or not layer.asked else f"{f.drawdown:.1f}" for f in (with_it, without)),
        layer.verdict,
    )


def _one(figures: Figures | None, value: float | None) -> str:
    return "-" if figures is None or value is None or not figures.n else f"{value:+.1f}"


def _sets_row(layer: LayerWorth) -> tuple[str, ...]:
    cells: list[str] = [layer.words]
    for figures in (layer.with_it, layer.without):
        if figures is None or not figures.n:
            cells += ["0", "-", "-", "-"]
        else:
            cells += [str(figures.n), percent(figures.win_rate), _r(figures.gross), _r(figures.net)]
    refused = layer.refused
    return (*cells, str(refused.n) if refused else "-", _r(refused.net) if refused else "-")


def _gemini(board: Scoreboard) -> list[str]:
    lines = ["", "Gemini"]
    if not board.asked:
        return [*lines, *wrapped(f"{board.conclusion} Without a key, and in a replay, the rules decide alone.")]
    silent = board.asked - board.answered
    lines += wrapped(
        f"{board.asked} signals asked about: {board.answered} opinions, {board.refused} refused "
        f"({percent(board.rejection_rate)}: {board.rejection}), {board.doubted} approved below the threshold, "
        f"{silent} without an opinion"
    )
    lines += [f"  no opinion {n} times: {reason}"[:100] for reason, n in board.reasons]
    cost = board.cost
    lines += wrapped(
        f"{cost.tokens_per_day:,.0f} tokens and {cost.usd_per_day:.4f} USD a day over {cost.days:.1f} days, "
        f"{cost.usd:.4f} USD in all, for answers that could be used"
    )
    return [*lines, *(_scored(board.score) if board.score is not None else []), *wrapped(board.conclusion)]


def _scored(score: Score) -> list[str]:
    skill = "-" if score.skill is None else f"{score.skill:+.1%}"
    interval = "" if score.skill_low is None else f" (95% {score.skill_low:+.1%} to {score.skill_high:+.1%})"
    return [
        "",
        *table(("said", "n", "won", "95%"), [_bucket_row(b) for b in score.buckets]),
        "",
        f"of {score.look.n} closed opinions: Brier {score.brier:.3f} against {score.base_brier:.3f} of the base rate "
        f"{score.base:.0%},",
        f"skill {skill}{interval}",
        f"approved: {_side(score.approved)}; refused: {_side(score.refused)}; apart "
        + bounded(score.difference, score.low, score.high, "+.2f"),
    ]


def _bucket_row(bucket: Bucket) -> tuple[str, ...]:
    return (
        percent(bucket.predicted),
        str(bucket.n),
        percent(bucket.won),
        between(bucket.won_low, bucket.won_high, ".0%"),
    )


def _side(side: Side) -> str:
    return "none" if not side.n else f"{side.n}, R net {_r(side.net)}, won {percent(side.win_rate)}"


def _r(value: float | None) -> str:
    return number(value, "+.2f")
