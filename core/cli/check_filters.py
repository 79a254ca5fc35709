"""``julaba check filters`` and ``julaba check variants``: what filters, and other choices of them, are worth."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from core import bootstrap
from core.cli import Context
from core.cli.options import add_last_days, add_pairs, add_range, add_seed, check_range, seed_of
from core.cli.pictures import write_picture
from core.cli.stored import load_range
from core.cli.text import bounded, number, percent, table, wrapped
from core.config import Settings
from core.domain.candles import iso

if TYPE_CHECKING:
    from core.ml.audit import Audit, Figures, Worth
    from core.ml.variant_gate import Chosen
    from core.services.filter_audit import FilterReport
    from core.services.variant import VariantReport


def filters_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Each filter on stored candles: how many crossovers it kills, R with and without it in an earlier and a later "
        "half, whether the difference can be told from chance; and what the regime rule says of random walks."
    )
    add_pairs(parser)
    add_range(parser)
    add_last_days(parser)
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the picture there")
    add_seed(parser, "the random walks")


def filters(args: argparse.Namespace, context: Context) -> int:
    from core.services.filter_audit import filter_report

    check_range(args)
    settings, seed = context.settings, seed_of(args, context.settings)
    stored = load_range(args, context, context.pairs(args.pairs), settings.frame)
    store = bootstrap.candle_store(context.data_dir)
    with tqdm(desc="candidates", unit="", disable=None, leave=False) as bar:
        report = filter_report(stored.candles, store, settings, stored.start, stored.end, seed, bar.update)
    if args.png is not None:
        from core.reports.audit_charts import audit_chart

        write_picture(args.png, audit_chart(report.audit))
    png = None if args.png is None else str(args.png)
    context.result(report.data() | {"png": png}, report_text(report))
    return 0


def variants_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Each variant of the settings against the strategy's own signals, on what the bot has lived through: choices "
        "stored at the close, outcomes that came later. It looks at fixed counts only, so asking often costs nothing."
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )


def variants(args: argparse.Namespace, context: Context) -> int:
    reports: tuple[VariantReport, ...] = ()
    if context.settings.variants:
        reports = asyncio.run(_reports(args.ledger or bootstrap.ledger_path(context.data_dir), context.settings))
    context.result({"variants": [report.data() for report in reports]}, variants_text(reports))
    return 0


async def _reports(path: Path, settings: Settings) -> tuple[VariantReport, ...]:
    from core.services.variant import variant_reports

    async with bootstrap.open_ledger(path) as ledger:
        return await variant_reports(ledger, settings)


# -- filters as text --

_KILLS = ("filter", "kills", "alone", "signals", "without", "win", "w/o", "R gross", "w/o", "R net", "w/o")
_WORTH = ("filter", "whole range", "earlier", "later", "Holm", "verdict")


def report_text(report: FilterReport) -> str:
    """Tables of at most 100 columns, the sentence about random walks and the conclusion."""
    audit = report.audit
    periods = (
        ("Earlier", audit.start_ms, audit.middle_ms, [f.earlier for f in audit.filters]),
        ("Later", audit.middle_ms, audit.end_ms, [f.later for f in audit.filters]),
        ("Whole range", audit.start_ms, audit.end_ms, [f.whole for f in audit.filters]),
    )
    names = [_name(f.words, f.in_force) for f in audit.filters]
    lines = [f"{audit.candidates} crossovers of {', '.join(audit.pairs)}, {audit.signals} of them signals"]
    for title, start, end, worths in periods:
        rows = [_kills_row(name, worth) for name, worth in zip(names, worths, strict=True)]
        lines += ["", f"{title}, {_day(start)} to {_day(end)}", *table(_KILLS, rows)]
    lines += [
        "",
        "What is gained by having it: mean net R of the signals with it less that without (95%)",
        *_worths(audit),
    ]
    lines += ["", "Crossovers by regime, whatever the other filters say: mean net R (95%)", *_regimes(audit)]
    lines += [
        "",
        *wrapped(
            "kills: crossovers that fail it; alone: that fail nothing else. w/o: with the filter left out, the "
            "cooldown run anew. win: won before costs. * not in force as a refusal, shown as if it were. R is the "
            "mean per signal. Intervals hold for outcomes that overlap and pairs that move together. Holm: stands "
            "when all that was looked at counts."
        ),
        *(line for note in report.notes for line in wrapped(note)),
        "",
        *wrapped(report.walks.sentence),
        "",
        *wrapped(audit.conclusion),
    ]
    return "\n".join(lines)


def _name(words: str, in_force: bool) -> str:
    return words if in_force else f"{words}*"


def _day(ms: int) -> str:
    return iso(ms)[:16].replace("T", " ").replace(" 00:00", "")


def _kills_row(name: str, worth: Worth) -> tuple[str, ...]:
    kept, free = worth.kept, worth.free
    return (
        name,
        str(worth.killed),
        str(worth.killed_alone),
        str(kept.n),
        str(free.n),
        *(percent(f.win_rate) for f in (kept, free)),
        *(number(f.gross, "+.3f") for f in (kept, free)),
        *(number(f.net, "+.3f") for f in (kept, free)),
    )


def _worths(audit: Audit) -> list[str]:
    rows = [
        (
            _name(f.words, f.in_force),
            *(bounded(w.difference, w.low, w.high, "+.2f") for w in (f.whole, f.earlier, f.later)),
            "-" if f.whole.p is None else "yes" if f.holm else "no",
            f.verdict,
        )
        for f in audit.filters
    ]
    return table(_WORTH, rows)


def _regimes(audit: Audit) -> list[str]:
    rows = [
        (r.regime, str(r.whole.n), percent(r.whole.win_rate), *map(_figures, (r.whole, r.earlier, r.later)))
        for r in audit.regimes
    ]
    return table(("regime", "n", "win", "whole range", "earlier", "later"), rows)


def _figures(figures: Figures) -> str:
    return bounded(figures.net, figures.net_low, figures.net_high, "+.2f")


# -- variants as text --


def variants_text(reports: Sequence[VariantReport]) -> str:
    """A paragraph per variant with the conditions of its last look."""
    if not reports:
        return "No variants are configured: name some under `variants` in config.yaml, such as calm: {adx_min: 20}."
    lines: list[str] = []
    for report in reports:
        lines += [f"{report.name}: {report.state}   {report.label}, tried as number {report.order}"]
        lines += [f"  {line}" for line in _look_lines(report)]
        lines += [""]
    return "\n".join(
        [*lines, "Nothing is switched by this: ready means that `strategy` could be changed with evidence."]
    )


def _look_lines(report: VariantReport) -> list[str]:
    if not report.looks:
        return [f"{report.outcomes} of {report.next_look} outcomes that it or the strategy chose: no look yet"]
    look = report.looks[-1]
    lines = [
        f"look {look.index} on the first {look.n} of {report.outcomes} outcomes that either chose, "
        f"the next at {report.next_look}",
        f"the variant: {_chosen(look.variant)}",
        f"the strategy: {_chosen(look.owner)}",
    ]
    for condition in look.conditions:
        first, *rest = wrapped(condition.sentence, 90)
        lines += [f"{'yes' if condition.met else 'no':<4}{first}", *(f"    {more}" for more in rest)]
    return lines


def _chosen(chosen: Chosen) -> str:
    mean = "-" if chosen.mean is None else f"{chosen.mean:+.2f}R net each"
    return f"{chosen.n} signals, {mean}, {chosen.per_day:+.2f}R a day"
