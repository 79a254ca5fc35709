"""What blocks a pair, what filters are worth, which pairs could be added, as cards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from core.domain.trading import Direction, Ruling
from core.engine.nearness import Crossing
from core.ml.audit import Audit, Figures, FilterAudit
from core.services.added_pairs import PairPlan, Suggested, Suggestions
from core.services.filter_desk import FiltersView
from core.services.pair_depth import Depth
from core.services.rules import RuleView
from core.services.whynot import Point, WhyNot
from julaba_tg.card import Block, Card, card, quote, section, text
from julaba_tg.figures import clock_time, coin, price, r_multiple

_MARKS = {Ruling.PASS: "✅", Ruling.HALF: "½", Ruling.REFUSE: "⛔", Ruling.UNKNOWN: "❔"}
_STAGES = {
    "candles": "Candles",
    "crossover": "Crossover",
    "filters": "Filters",
    "rules": "Rules",
    "gemini": "Gemini",
    "portfolio": "Account",
}

# -- /whynot


def whynot(view: WhyNot, zone: ZoneInfo) -> Card:
    """The first thing that blocks in the first line; then all that does not pass, and what passes on a tap."""
    against = [p for p in view.points if p.ruling in (Ruling.REFUSE, Ruling.HALF, Ruling.UNKNOWN)]
    fine = [p for p in view.points if p.ruling is Ruling.PASS]
    at = [] if view.closed_at is None else [f"At the close of {clock_time(view.closed_at, zone)}: {price(view.close)}"]
    return card(
        f"🔎 {coin(view.pair)}: {_first(view)}",
        text([*at, *_crossings(view)]),
        *_by_stage(against),
        section([_supposed(view)] if view.decision is None and view.near and view.near.crossed is None else []),
        quote(["What passes:", *(_line(p) for p in fine)] if fine else []),
    )


def _first(view: WhyNot) -> str:
    if view.status in ("taken", "waiting"):
        word = "taken at this close" if view.status == "taken" else "waits for a yes"
        return f"nothing blocks, {word} (number {view.decision})"
    if view.first is None:
        return "nothing blocks a trade"
    if view.first.stage == "crossover" and view.near is not None and view.near.next:
        return f"no crossover, {_distance(view.near.next[0], view.near.still)}"
    side = f"{view.first.direction}: " if view.first.direction else ""
    return f"{side}{view.first.words}"


def _distance(way: Crossing, still: int | None) -> str:
    """How far a crossing is, for a locked phone: by the next close, and where the price stays as it is."""
    if still == 1:
        return "but at this price one comes at the next close"
    stays = f"{still} candles at this price" if still else ""
    if way.price is None or way.change is None:
        return stays or "and no price would make one at the next close"
    atrs = f" ({abs(way.atrs):.1f} ATR)" if way.atrs is not None else ""
    return " or ".join(filter(None, (f"{way.change:+.2%}{atrs} to one at the next close", stays)))


def _crossings(view: WhyNot) -> list[str]:
    near = view.near
    if near is None:
        return []
    atrs = f" ({abs(near.gap_atrs):.1f} ATR)" if near.gap_atrs is not None else ""
    side = "above" if near.gap > 0 else "below"
    lines = [f"SMA 15 lies {abs(near.gap):.2%}{atrs} {side} SMA 40." if near.gap else "SMA 15 and SMA 40 are equal."]
    for way in near.next if near.crossed is None else ():
        if way.price is not None:
            edge = "at or above" if way.direction is Direction.LONG else "at or below"
            lines.append(f"{way.direction}: a next close {edge} {_exact(way)} crosses.")
    return lines


def _exact(way: Crossing) -> str:
    """Six digits: fewer would name a price that does not cross."""
    return f"{way.price:,.6g}" if way.price is not None else "–"


def _by_stage(points: Sequence[Point]) -> list[Block]:
    blocks = []
    for stage, title in _STAGES.items():
        lines = [_line(p) for p in points if p.stage == stage]
        if lines and stage != "crossover":
            blocks.append(section([f"{title}:", *lines]))
    return blocks


def _line(point: Point) -> str:
    side = f"{point.direction}: " if point.direction else ""
    half = " (half the size)" if point.ruling is Ruling.HALF else ""
    return f"{_MARKS.get(point.ruling, '•')} {side}{point.words}{half}"


def _supposed(view: WhyNot) -> str:
    return "Without a crossover, the rest is what would be said of one at this close."


# -- /filters


def filters(view: FiltersView) -> Card:
    """Both audits; what was lived through first."""
    main = view.live if view.shown == "live" and view.live else view.stored or view.live
    assert main is not None
    blocks: list[Block] = []
    if view.live is not None:
        blocks += _audit(view.live, "Lived through")
    if view.stored is not None:
        blocks += _audit(view.stored, "On the stored candles")
    return card(f"🧪 {_verdict(main)}", *blocks, quote([main.conclusion, *view.notes, _HOW]))


_HOW = (
    "Alone: crossovers that fail this filter and pass all others, with the mean net R they would have made and its 95% "
    "interval. Helps or costs: the signals with it against those without it, beyond chance after Holm's correction, "
    "with one sign in both halves of the time. Anything else is unclear."
)


def filters_caption(view: FiltersView) -> Card:
    what = "what was lived through" if view.shown == "live" else "the stored candles"
    return card(f"🧪 Each filter on {what}")


def _verdict(found: Audit) -> str:
    told = [f for f in found.filters if f.in_force and f.verdict in ("helps", "costs")]
    if not told:
        return "No filter's worth can be told from chance"
    return ", ".join(f"{f.words} {f.verdict}" for f in told)


def _audit(found: Audit, title: str) -> list[Block]:
    head = f"{title}: {found.candidates:,} crossovers, {found.signals:,} signals, {len(found.pairs)} pairs"
    lines = [line for f in found.filters if f.whole.killed and _shown(f) for line in _filter(f)]
    return [section([head]), quote(lines)]


def _shown(each: FilterAudit) -> bool:
    return each.in_force or each.name in ("alignment", "btc")


def _filter(each: FilterAudit) -> list[str]:
    mark = {"helps": "🟢", "costs": "🔴"}.get(each.verdict, "⚪️")
    word = {"cannot be told": "unclear"}.get(each.verdict, each.verdict)
    supposed = "" if each.in_force else " (if it refused)"
    return [
        f"{mark} {each.words}{supposed}: {word}",
        f"   stopped {each.whole.killed:,}, alone {each.whole.killed_alone:,}{_made(each.whole.alone)}",
    ]


def _made(figures: Figures) -> str:
    if figures.net is None:
        return ""
    interval = (
        f" ({figures.net_low:+.2f} to {figures.net_high:+.2f})"
        if figures.net_low is not None and figures.net_high is not None
        else " (too few days for an interval)"
    )
    return f": {r_multiple(figures.net)} net each{interval}"


# -- pairs


def suggestions(found: Suggestions) -> Card:
    if not found.pairs:
        title = "No more liquid pairs to add" if found.skip else "No liquid pair could be added now"
        return card(f"➕ {title}", *_foot(found))
    names = " and ".join(coin(s.pair) for s in found.pairs)
    return card(f"➕ {names} could be added", text([_suggested(s) for s in found.pairs]), *_foot(found))


def _suggested(each: Suggested) -> str:
    return f"{coin(each.pair)} · {_volume(each.volume)} in 24 h · {_depth(each.depth)}"


def _volume(usdt: float) -> str:
    return f"${usdt / 1e9:.2f}bn" if usdt >= 1e9 else f"${usdt / 1e6:,.1f}M" if usdt >= 1e6 else f"${usdt / 1e3:,.0f}k"


def _depth(depth: Depth) -> str:
    if not depth.looked:
        return "no candles to be had"
    days = f"{depth.days:,.0f} days of candles{' or more' if depth.whole else ''}"
    gaps = (
        f"{depth.missing} of {depth.looked:,} looked at are missing, at most {depth.longest_gap} in a row"
        if depth.missing
        else f"none of {depth.looked:,} looked at missing"
    )
    return f"{days}, {gaps}"


def _foot(found: Suggestions) -> list[str]:
    lines = []
    if found.young:
        lines.append(f"Left out: {found.young} with less than 30 days of candles.")
    room = f"room for {found.room} more" if found.room else "no room for more: remove one first"
    lines.append(f"{found.liquid} liquid pairs are not traded here yet, {room}.")
    return lines


def pair_plan(plan: PairPlan, why: str = "") -> Card:
    """What it would do, or that it is being done. ``why``: why it is shown anew."""
    name, before = coin(plan.pair), [why] if why else []
    if plan.done:
        word = "is being added" if plan.add else "is being taken away"
        end = "A message says when it is on." if plan.add else "A message says when it is done."
        return card(f"⏳ {name} {word}", f"Everything begins anew, which takes some seconds. {end}")
    if not plan.add:
        return card(
            f"🗑 Remove {name}?",
            text(before),
            f"No more signals of it; {plan.pairs} pairs remain. What it has taught stays; its shadow trades run on.",
            _BEGIN,
        )
    known = [f"{_volume(plan.volume)} in 24 h"] if plan.volume is not None else []
    lines = [
        " · ".join([*known, *([_depth(plan.depth)] if plan.depth else [])]),
        f"It brings about {plan.signals:.2f} signals a day, as the other pairs do: that many more samples.",
        f"It costs one request at each close, {plan.requests:,.0f} a day; {plan.pairs} pairs in all.",
        f"It begins with {plan.risk:g} of a usual trade's risk; /size {name} changes that.",
    ]
    return card(f"➕ Add {name}?", text([*before, *lines]), _BEGIN)


_BEGIN = "Everything begins anew for it, in some seconds: open trades, alerts and commands are kept."

# -- /rule


def rule_names(views: Sequence[RuleView]) -> Card:
    lines = [f"{v.name}={v.value}  {v.words}" for v in views]
    return card("📏 Which rule, and what instead?", text(lines), "For example /rule strategy.adx_min=20")


def rule_asked(number: int) -> Card:
    return card(f"🗳 Asked as approval {number}", "It counts from the next candle on once an approver says yes.")
