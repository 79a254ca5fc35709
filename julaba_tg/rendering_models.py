"""The registry as cards: all models, one with its lineage, what a rollback would do, champion against challenger."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from core.ml.challenge import Comparison
from core.services.registry import ModelEntry, ModelList, State
from core.services.takeovers import Promotion, RollbackPlan
from julaba_tg.card import Block, Card, card, section, table, text
from julaba_tg.figures import UNKNOWN, counted, day_time, hundredths

_SHOWN = 10

_MARKS: Mapping[State, str] = {"champion": "👑", "former champion": "🕰", "challenger": "⚔️", "damaged": "⚠️"}


def listed(view: ModelList) -> tuple[ModelEntry, ...]:
    """The models that a card has room for: the newest, and the champion however old it is."""
    newest = view.models[:_SHOWN]
    older = tuple(m for m in view.models[_SHOWN:] if m.model_id == view.champion)
    return newest[: _SHOWN - len(older)] + older


def models(view: ModelList, zone: ZoneInfo) -> Card:
    if not view.models:
        return card("🗃 No model yet", "The first one is made as soon as there are enough samples; /ml counts them.")
    shown = listed(view)
    rest = len(view.models) - len(shown)
    return card(
        f"🗃 {counted(len(view.models), 'model')} · champion {view.champion or 'none'}",
        section(_line(m, zone) for m in shown),
        section([f"and {rest} older ones"] if rest else []),
        section(["👑 in use, 🕰 was in use, ⚔️ challenger. A tap shows one with where it came from."]),
    )


def _line(model: ModelEntry, zone: ZoneInfo) -> str:
    mark = _MARKS[model.state] + ("⚠️" if model.damage and model.state != "damaged" else "")
    if model.damage:
        return f"{mark} {model.model_id} · damaged: train again or restore a backup"
    return f"{mark} {model.model_id} · {_auc(model)} · {model.rows} rows · {day_time(model.trained_at, zone)}"


def _auc(model: ModelEntry) -> str:
    if model.auc is None:
        return "AUC unknown"
    interval = "" if model.auc_low is None else f" ({model.auc_low:.2f}-{model.auc_high:.2f})"
    return f"AUC {model.auc:.2f}{interval}"


def model(view: ModelList, chosen: ModelEntry, zone: ZoneInfo) -> Card:
    """One model: what it is, how good on unseen signals, its ancestors, and when it was champion."""
    head = f"{_MARKS[chosen.state]} {chosen.model_id} · {chosen.state}"
    if not chosen.sha256:
        return card(head, f"Damaged: {chosen.damage}.")
    about = [
        f"{chosen.kind} on {chosen.feature_set} · {chosen.rows} rows · trained {day_time(chosen.trained_at, zone)}",
        f"Walk-forward: {_auc(chosen)} on {chosen.evaluated} unseen signals, guessing has 0.50",
    ]
    return card(
        head,
        text([f"⚠️ Damaged: {chosen.damage}."] if chosen.damage else []),
        text(about),
        section(_compared(chosen)),
        comparison(chosen.comparison),
        section(_lineage(view, chosen)),
        section(_reigns(chosen, zone)),
        section([f"SHA-256 {chosen.sha256[:16]}… · learned outcomes up to {day_time(chosen.trained_until, zone)}"]),
    )


def _compared(chosen: ModelEntry) -> list[str]:
    found = chosen.comparison
    return [] if found is None else [f"At its training: {found.sentence}."]


def comparison(found: Comparison | None) -> Block:
    """Both models on the same unseen signals, with the interval of the difference, as narrow as a phone."""
    if found is None or found.champion is None or found.challenger is None:
        return text([])
    old, new = found.champion, found.challenger
    return table(
        [
            f"{found.n:>4} signals   champion challenger",
            f"{'Brier':<13}{old.brier:>9.4f}{new.brier:>11.4f}",
            f"{'AUC':<13}{hundredths(old.auc):>9}{hundredths(new.auc):>11}",
            f"better by {_gain(found.gain, found.low, found.high, 4)}",
            f"AUC by    {_gain(found.auc_gain, found.auc_low, found.auc_high, 2)}",
        ]
    )


def _gain(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    if value is None:
        return UNKNOWN
    interval = "too few days" if low is None or high is None else f"{low:+.{digits}f} to {high:+.{digits}f}"
    return f"{value:+.{digits}f} ({interval})"


def _lineage(view: ModelList, chosen: ModelEntry) -> list[str]:
    """The champions it came after, the oldest first."""
    there = {m.model_id for m in view.models}
    chain = [name if name in there else f"{name} (gone)" for name in view.lineage(chosen)]
    children = [m.model_id for m in view.models if m.parent == chosen.model_id]
    lines = [f"Lineage: {' → '.join(reversed(chain))}" if len(chain) > 1 else "Lineage: the first of its line"]
    return lines + ([f"Compared with it later: {', '.join(children[:5])}"] if children else [])


def _reigns(chosen: ModelEntry, zone: ZoneInfo) -> list[str]:
    return [
        f"Champion {day_time(r.since, zone)} – {'now' if r.until is None else day_time(r.until, zone)}, "
        f"by {r.chosen_by}: {r.reason}"
        for r in chosen.reigns
    ]


def rollback_plan(plan: RollbackPlan, zone: ZoneInfo, why: str = "") -> Card:
    """What a rollback would do, before it is done; ``why`` it is shown anew."""
    target = plan.target
    last = target.reigns[-1] if target.reigns else None
    was = f", champion until {day_time(last.until, zone)}" if last and last.until else ""
    ends = [f"The weight {plan.weight:g} ends; it is asked for anew."] if plan.weight > 0 else []
    return card(
        f"↩️ Go back to {target.model_id}?",
        text([why] if why else []),
        f"It takes the place of {plan.champion or 'none'} from the next candle on.",
        f"{target.model_id}: {_auc(target)} on {target.evaluated} unseen signals{was}.",
        text(ends),
        "The line keeps its evidence. Training goes on, and a later challenger may be better again.",
    )


def rolled_back(plan: RollbackPlan) -> Card:
    ended = f" The weight {plan.weight:g} is gone." if plan.weight > 0 else ""
    return card(f"↩️ {plan.target.model_id} is the champion again", f"In the place of {plan.champion or 'none'}.{ended}")


def which_model(any_other: bool) -> Card:
    """For a /promote without an id."""
    if not any_other:
        return card("🗳 No other model to promote", "/retrain trains one.")
    return card("🗳 Promote which model?", "A tap asks the approvers; nothing changes before a yes.")


def promotion_asked(asked: Promotion) -> Card:
    return card(f"🗳 Approval {asked.approval_id}: may {asked.model_id} take over?", asked.sentence)


def picture(model_id: str, kind: str) -> Card:
    """What stands under a picture of a model's evaluation."""
    if kind == "calibration":
        return card(f"🎯 {model_id}: does it mean what it says?", "On the diagonal 40% means 40 wins of 100.")
    return card(f"🏋️ {model_id}: what it looks at", "Used is not useful: worth is what helps on unseen signals.")
