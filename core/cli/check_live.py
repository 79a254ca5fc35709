"""``julaba check live``: what the predictions were worth that were stored before their outcomes."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from core import bootstrap
from core.cli import Context
from core.cli.check_material import paragraph, plain
from core.cli.pictures import write_picture
from core.cli.text import between, number, table

if TYPE_CHECKING:
    from core.ml.live_evaluation import LiveEvaluation


def live_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The figures of the live predictions, each stored at its decision under its model's name: on exactly the "
        "outcomes of the gate's last look, so that asking often is no new test."
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the picture of the slices there")


def live(args: argparse.Namespace, context: Context) -> int:
    found = asyncio.run(_found(args.ledger or bootstrap.ledger_path(context.data_dir)))
    if args.png is not None and found.metrics.n:
        from core.reports.model_charts import slices_chart

        write_picture(args.png, slices_chart(found.slices, "AUC of the live predictions by slice"))
    png = None if args.png is None or not found.metrics.n else str(args.png)
    context.result(plain(found.to_json() | {"png": png}), live_text(found))
    return 0


async def _found(path: Path) -> LiveEvaluation:
    from core.services.live_evaluation import live_evaluation

    async with bootstrap.open_evidence(path) as (ledger, chat, book):
        return await live_evaluation(ledger, chat, book, (await ledger.controls()).line)


def live_text(found: LiveEvaluation) -> str:
    """The sentence, the figures, the slices and whose predictions they are."""
    m = found.metrics
    if not m.n:
        return found.sentence
    rows = [
        ("won", number(m.base_rate, ".1%"), ""),
        ("accuracy", number(m.accuracy, ".1%"), between(m.accuracy_low, m.accuracy_high, ".1%")),
        ("majority", number(m.majority, ".1%"), ""),
        ("AUC", number(m.auc, ".3f"), between(m.auc_low, m.auc_high, ".3f")),
        ("Brier skill", number(m.brier_skill, "+.1%"), between(m.brier_skill_low, m.brier_skill_high, "+.1%")),
        ("R, better less worse", number(m.r_gain, "+.2f"), between(m.r_gain_low, m.r_gain_high, "+.2f")),
        ("shifted p", number(m.permutation_p, ".3f"), ""),
    ]
    slices = [
        (s.name, str(s.n), f"{s.base_rate:.0%}", number(s.auc, ".2f"), between(s.auc_low, s.auc_high, ".2f"))
        for s in found.slices.slices
        if s.group != "hour"
    ]
    models = ", ".join(f"{name} {count}" for name, count in found.models.items())
    return "\n".join(
        [
            paragraph(found.sentence),
            "",
            *table((f"{m.n} outcomes", "figure", "95%"), rows),
            "",
            *table(("slice", "n", "won", "AUC", "95%"), slices),
            "",
            paragraph(found.slices.note),
            paragraph(f"Predictions by model: {models}. Left out as not older than their outcome: {found.late}."),
            paragraph(f"Outcomes since the look, not looked at: {found.waiting}."),
        ]
    )
