"""What is done for ``/whynot``, ``/filters``, ``/pairs suggest``, ``/pair X add`` and ``/rule``."""

from __future__ import annotations

from functools import partial

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.services.added_pairs import Suggestions
from core.services.filter_desk import FiltersView
from julaba_tg import keyboards, parsing, rendering, rendering_insight
from julaba_tg.calls import Call, post
from julaba_tg.confirming import Confirming, Preview, unsealed
from julaba_tg.figures import coin
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.progress import begin, conclude, followed
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks

MOST_REMOVALS = 4  # buttons under the suggestions

CHANGES = frozenset({"add", "remove"})
"""What can stand behind a pair beside on and off."""


async def whynot(call: Call, desk: DeskLike) -> Outgoing:
    if not call.arguments:
        names = [view.pair for view in await desk.pairs()]
        return Outgoing(rendering.which_pair(), keyboards.which_pair(names, "🔎", "whynot"))
    pair = parsing.pair(parsing.one(call.arguments, call.command), call.command)
    view = await desk.topics.insight.whynot(pair)
    keys = [
        keyboards.refresh_button(f"whynot {pair}"),
        Button("📈 Chart", callback_data=f"new:chart {pair}"),
        Button("🔎 Others", callback_data="new:whynot"),
    ]
    why = [Button(f"🔍 Why {view.decision}?", callback_data=f"new:why {view.decision}")] if view.decision else []
    return Outgoing(rendering_insight.whynot(view, call.zone), Keyboard([row for row in (keys, why) if row]))


async def filters(call: Call, desk: DeskLike, tasks: Tasks) -> None:
    """Answers at once; the card takes that message's place, its picture follows.

    Where the card is drawn again in place the picture behind it stays as it was.
    """
    shown = await begin(call.place, _filtering, in_place=call.in_place)
    tasks.start(_filters(call, desk, shown), "filters")


async def _filters(call: Call, desk: DeskLike, shown: MessageRef) -> None:
    place = call.place
    found = await followed(place, shown, _filtering, desk.topics.insight.filters, "the filters' audit")
    if not isinstance(found, FiltersView):
        await conclude(place, shown, found)
        return
    rules = [keyboards.way_to("rules"), keyboards.way_to("worth")]
    keys = Keyboard([[keyboards.refresh_button("filters"), *rules]])
    await conclude(place, shown, Outgoing(rendering_insight.filters(found), keys))
    if shown == place.message:
        return
    picture = Outgoing(rendering_insight.filters_caption(found), None, found.picture)
    await post(place, picture, reply_to=shown.message_id)


def _filtering(words: str, fraction: float) -> Outgoing:
    return Outgoing(rendering.progress("🧪", "Filters", words, fraction))


async def suggest(call: Call, desk: DeskLike) -> Outgoing:
    """``/pairs suggest``; its button More carries where the next begin."""
    word, *rest = call.arguments
    if word.lower() != "suggest" or len(rest) > 1:
        raise parsing.refusal("Only suggest can follow.", call.command)
    if rest and not (rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 5):
        raise parsing.refusal(f"{parsing.short(rest[0])!r} is not a number.", call.command)
    found = await desk.topics.insight.suggest_pairs(int(rest[0]) if rest else 0)
    return Outgoing(rendering_insight.suggestions(found), _suggest_keys(found, desk.topics.insight.added()))


def _suggest_keys(found: Suggestions, added: tuple[str, ...]) -> Keyboard:
    adds = [Button(f"➕ Add {coin(s.pair)}", callback_data=f"new:pair {s.pair} add") for s in found.pairs if found.room]
    ways = [keyboards.way_to("pairs")]
    if found.after is not None:
        ways.insert(0, Button("More", callback_data=f"go:pairs suggest {found.after}"))
    gone = [Button(f"🗑 {coin(p)}", callback_data=f"new:pair {p} remove") for p in added[-MOST_REMOVALS:]]
    return Keyboard([row for row in (adds, ways, gone) if row])


async def pair(call: Call, desk: DeskLike, confirming: Confirming) -> Outgoing | None:
    """``/pair ARB add`` and ``/pair ARB remove``: shown, done by a tap."""
    words, seal = unsealed(call.arguments)
    if len(words) != 2:
        raise parsing.refusal("That needs a pair and add or remove.", call.command)
    name, add = parsing.pair(words[0], call.command), words[1].lower() == "add"
    plan = await desk.topics.insight.plan_pair(name, add)

    async def do() -> Outgoing:
        done = await desk.topics.insight.change_pair(name, add, call.actor)
        return Outgoing(rendering_insight.pair_plan(done), Keyboard([[keyboards.way_to("pairs")]]))

    verb = "add" if add else "remove"
    preview = Preview(
        line=f"pair {name} {verb}",
        state=f"{plan.pairs}",
        card=partial(rendering_insight.pair_plan, plan),
        button=f"{verb.capitalize()} {coin(name)}",
    )
    return await confirming.ask(call, preview, seal, do)


async def rule(call: Call, desk: DeskLike) -> Outgoing:
    """``/rule strategy.adx_min=20``: asks the approvers. Without anything: the rules by name."""
    rules = Keyboard([[keyboards.way_to("rules"), keyboards.way_to("filters")]])
    if not call.arguments:
        return Outgoing(rendering_insight.rule_names(await desk.rules()), rules)
    values = {}
    for word in call.arguments:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise parsing.refusal(f"{parsing.short(word)!r} is not a name and a value with = between.", call.command)
        values[name.lower()] = value
    number = await desk.topics.insight.ask_rule(values, call.actor)
    card = Button(f"🗳 Approval {number}", callback_data=f"new:approvals {number}")
    return Outgoing(rendering_insight.rule_asked(number), Keyboard([[card]]))
