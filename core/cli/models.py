"""``julaba models``: every model with where it came from, who was champion when, and the way back."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import asdict

from core import bootstrap
from core.cli import Context
from core.cli.text import table
from core.domain.candles import iso, to_ms
from core.errors import StoreError, UsageError
from core.services.registry import ModelEntry, ModelList, Reign

_NOBODY = (
    "there is no champion: models/champion.json is missing or damaged, or names a model that is not here; restore it "
    "from a backup or train again (`julaba train`)"
)


def models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", choices=("list", "show", "rollback"), default="list", help="default: list")
    parser.add_argument("id", nargs="?", metavar="ID", help="for show: a model's id, or the end of it")
    parser.add_argument("--yes", action="store_true", help="for rollback: do it; without it, only say what it would do")


def models(args: argparse.Namespace, context: Context) -> int:
    """Lists, shows one, or goes back to the champion before (only while no bot runs on the data directory)."""
    if args.verb == "show" and not args.id:
        raise UsageError("which model? `julaba models` lists them: julaba models show ID")
    if args.verb != "show" and args.id:
        raise UsageError(f"julaba models {args.verb} takes no ID")
    if args.yes and args.verb != "rollback":
        raise UsageError("--yes belongs to julaba models rollback")
    most = context.settings.ml.max_age_days
    if args.verb == "rollback":
        return _rollback(args.yes, context)
    found = asyncio.run(_list(context))
    if args.verb == "show":
        chosen = _find(found, args.id)
        context.result(_entry(chosen), _one(found, chosen))
    else:
        context.result(
            {"champion": found.champion, "before": found.before, "models": [_entry(m) for m in found.models]},
            _all(found, most),
        )
    return 0


def _find(found: ModelList, model_id: str) -> ModelEntry:
    try:
        return found.find(model_id)
    except UsageError as error:
        raise UsageError(str(error).replace("/models lists", "`julaba models` lists")) from error


async def _list(context: Context) -> ModelList:
    async with bootstrap.model_registry(context.data_dir) as offline:
        return await offline.registry.list()


def _rollback(yes: bool, context: Context) -> int:
    try:
        back, champion, weight = asyncio.run(_go_back(yes, context))
    except StoreError as error:
        if "already running" not in str(error):
            raise
        raise StoreError(f"{error}, or say /rollback in the chat") from error
    ends = f"; the weight {weight:g} {'is gone' if yes else 'would end'}" if weight > 0 else ""
    did = f"{back} is the champion again" if yes else f"a rollback would go back to {back}"
    text = f"{did}, in the place of {champion}{ends}" + ("" if yes else "; --yes does it")
    context.result({"done": yes, "champion": back if yes else champion, "before": back, "weight": weight}, text)
    return 0


async def _go_back(yes: bool, context: Context) -> tuple[str, str, float]:
    """To which model, from which, and the weight that ends with it."""
    async with bootstrap.model_registry(context.data_dir, alone=True) as offline:
        return await offline.go_back(do=yes)


def _entry(model: ModelEntry) -> Mapping[str, object]:
    found = asdict(model)
    found["trained_at"] = iso(to_ms(model.trained_at)) if model.trained_at else None
    found["trained_until"] = iso(to_ms(model.trained_until)) if model.trained_until else None
    found["reigns"] = [_reign(r) for r in model.reigns]
    return found


def _reign(reign: Reign) -> dict[str, object]:
    until = iso(to_ms(reign.until)) if reign.until else None
    return {"since": iso(to_ms(reign.since)), "until": until, "chosen_by": reign.chosen_by, "reason": reign.reason}


def _all(found: ModelList, most: int) -> str:
    if not found.models:
        return "no model yet; make one with `julaba train` or `julaba pipeline`"
    rows = []
    for m in found.models:
        state = f"{m.state}, damaged" if m.damage and m.state != "damaged" else m.state
        rows.append(
            (
                m.model_id, state, m.kind or "-", m.feature_set or "-", str(m.rows or "-"), _figure(m.auc), _bounds(m),
                iso(to_ms(m.trained_at))[:10] if m.trained_at else "-", m.parent or "-",
            )
        )  # fmt: skip
    nobody = [] if any(m.model_id == found.champion for m in found.models) else [_NOBODY]
    back = f"a rollback goes back to {found.before}" if found.before else "there is nothing to roll back to"
    headings = ("model", "state", "kind", "features", "rows", "AUC", "95% interval", "trained", "parent")
    age = f"with a weight a champion may be at most {most} days old (ml.max_age_days)"
    return "\n".join([*table(headings, rows), "", *nobody, back, age])


def _one(found: ModelList, m: ModelEntry) -> str:
    lines = [f"{m.model_id}: {m.state}"]
    if m.damage:
        lines.append(f"damaged: {m.damage}")
    if m.sha256:
        lines += [
            f"{m.kind} on {m.feature_set}, {m.rows} rows, AUC {_figure(m.auc)} ({_bounds(m)}) on {m.evaluated} unseen",
            f"lineage: {' -> '.join(reversed(found.lineage(m)))}",
            f"SHA-256 {m.sha256}",
        ]
    if m.comparison is not None:
        lines.append(f"at its training: {m.comparison.sentence}")
    for reign in m.reigns:
        until = iso(to_ms(reign.until)) if reign.until else "now"
        lines.append(f"champion {iso(to_ms(reign.since))} to {until}, by {reign.chosen_by}: {reign.reason}")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _bounds(m: ModelEntry) -> str:
    return "-" if m.auc_low is None or m.auc_high is None else f"{m.auc_low:.2f}-{m.auc_high:.2f}"
