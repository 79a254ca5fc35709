"""What is done for ``/undo``, ``/size`` and ``/audit``, and the questions before the other dangerous commands."""

from __future__ import annotations

from functools import partial

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.services.undo import UndoPlan
from julaba_tg import keyboards, parsing, rendering, rendering_safety
from julaba_tg.calls import Call
from julaba_tg.card import Card
from julaba_tg.commands import find
from julaba_tg.confirming import Confirming, Preview, unsealed
from julaba_tg.figures import coin
from julaba_tg.keyboards import CommandTap, refresh_button, tap_of, way_to
from julaba_tg.parsing import command_of
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing

FACTORS = (0.25, 0.5, 0.7, 1.0)
MOST_ENTRIES = 30


class Safety:
    """Handlers of one chat program."""

    def __init__(self, desk: DeskLike, confirming: Confirming) -> None:
        self._desk = desk
        self._confirming = confirming

    # -- /undo

    async def undo(self, call: Call) -> Outgoing | None:
        """``/undo`` shows the last change, ``/undo 12`` that one; the button carries its number."""
        words, seal = unsealed(call.arguments)
        number = None if not words else parsing.count(words, call.command, default=0, most=10**9)
        plan = await self._desk.topics.safety.undo.plan(number)
        if not self._is_possible(plan, call):
            return Outgoing(self._plan(plan, call, ""), self._other_way(plan))
        assert plan.deed is not None
        deed_id = plan.deed.deed_id
        preview = Preview(
            f"undo {deed_id}",
            str(deed_id),
            partial(self._plan, plan, call),
            "Undo it",
            beside=self._redo(plan),
        )
        return await self._confirming.ask(call, preview, seal, partial(self._undo, deed_id, call))

    def _is_possible(self, plan: UndoPlan, call: Call) -> bool:
        if plan.deed is None or plan.blocked:
            return False
        return plan.deed.needs == "operator" or call.actor.role == "approver"

    def _plan(self, plan: UndoPlan, call: Call, why: str) -> Card:
        return rendering_safety.undo_plan(plan, why, self._desk.now(), call.actor.role)

    def _redo(self, plan: UndoPlan) -> tuple[Button, ...]:
        return (Button("↪️ Redo instead", callback_data=f"new:undo {plan.redo.deed_id}"),) if plan.redo else ()

    def _other_way(self, plan: UndoPlan) -> Keyboard | None:
        redo = self._redo(plan)
        return Keyboard([list(redo)]) if redo else None

    async def _undo(self, deed_id: int, call: Call) -> Outgoing:
        done = await self._desk.topics.safety.undo.undo(deed_id, call.actor)
        return Outgoing(rendering_safety.undone(done), _back(done.deed_id))

    # -- /size

    async def size(self, call: Call) -> Outgoing | None:
        """Without a pair all of them as buttons, without a factor the usual ones; above 1 it asks first."""
        words, seal = unsealed(call.arguments)
        sizes = self._desk.topics.safety.sizes
        if not words:
            return Outgoing(
                rendering_safety.sizes(sizes.all()),
                keyboards.which_pair([v.pair for v in sizes.all()], "📐", "size", "go"),
            )
        if len(words) > 2:
            raise parsing.refusal("That is more than a pair and a factor.", call.command)
        pair = parsing.pair(words[0], call.command)
        if len(words) == 1:
            return Outgoing(rendering_safety.size(sizes.view(pair)), _factors(pair))
        factor = parsing.factor(words[1], call.command)
        view = sizes.view(pair, factor)
        if factor <= 1 or factor <= view.factor:
            return await self._size(pair, factor, call)
        preview = Preview(
            f"size {pair} {factor:g}",
            f"{view.factor:g}",
            partial(rendering_safety.bigger, view),
            f"Set {coin(pair)} to {factor:g}",
        )
        return await self._confirming.ask(call, preview, seal, partial(self._size, pair, factor, call))

    async def _size(self, pair: str, factor: float, call: Call) -> Outgoing:
        before = await self._desk.topics.safety.sizes.set(pair, factor, call.actor)
        row = [way_to("undo"), way_to("size")]
        return Outgoing(rendering_safety.sized(before), Keyboard([row]))

    # -- /audit

    async def audit(self, call: Call) -> Outgoing:
        """``/audit 20``; its button ``/audit 20 812`` shows what is older than that entry."""
        if len(call.arguments) > 2:
            raise parsing.refusal("That is more than a number.", call.command)
        count = parsing.count(call.arguments[:1], call.command, default=10, most=MOST_ENTRIES)
        before = parsing.count(call.arguments[1:], call.command, default=0, most=10**9) or None
        page = await self._desk.topics.safety.audit.page(count, is_look, before)
        row = [refresh_button(f"audit {count}") if before is None else _newest(count)]
        if page.older is not None:
            row.append(Button("Older »", callback_data=f"go:audit {count} {page.older}"))
        return Outgoing(rendering_safety.audit(page, call.zone), Keyboard([row]))

    # -- asked before it is done

    async def pair(self, call: Call) -> Outgoing | None:
        """A pair with an open trade is switched off by a tap: the trade goes on, and that is said first."""
        words, seal = unsealed(call.arguments)
        if len(words) != 2:
            raise parsing.refusal("That needs a pair and on or off.", call.command)
        pair, on = parsing.pair(words[0], call.command), parsing.switch(words[1], call.command)
        held = next((p for p in await self._desk.positions() if p.pair == pair), None)
        is_on = any(v.pair == pair and v.enabled for v in await self._desk.pairs())
        do = partial(self._switch, pair, on, call)
        if on or held is None or not is_on:
            return await do()
        card = partial(rendering_safety.switch_off, held)
        preview = Preview(f"pair {pair} off", str(held.trade_id), card, f"Switch {coin(pair)} off")
        return await self._confirming.ask(call, preview, seal, do)

    async def _switch(self, pair: str, on: bool, call: Call) -> Outgoing:
        changed = await self._desk.switch_pair(pair, on, call.actor)
        views = await self._desk.pairs()
        return Outgoing(rendering.pairs(views, call.zone, rendering.switched(changed)), keyboards.pairs(views))

    async def resume(self, call: Call) -> Outgoing | None:
        """A pause of a person's own is lifted at once; that of the drawdown limit by a tap."""
        words, seal = unsealed(call.arguments)
        if words:
            raise parsing.refusal("Nothing can follow.", call.command)
        view = await self._desk.status()
        if not view.drawdown_paused or call.actor.role != "approver":
            return await self._resume(call)
        preview = Preview(
            "resume", f"{view.equity:.2f}", partial(rendering_safety.resume_after_drawdown, view), "Trade again"
        )
        return await self._confirming.ask(call, preview, seal, partial(self._resume, call))

    async def _resume(self, call: Call) -> Outgoing:
        view = await self._desk.resume(call.actor)
        return Outgoing(rendering.paused(view), keyboards.running(bool(view.paused)))

    async def weight(self, call: Call) -> Outgoing | None:
        """``/ml 0.25`` asks an approver; ``/ml 0`` is done by a tap where there is a weight that it ends."""
        words, seal = unsealed(call.arguments)
        weight = parsing.weight(parsing.one(words, call.command), call.command)
        view = await self._desk.ml()
        do = partial(self._ask_weight, weight, call)
        if weight > 0 or view.approved_weight == 0:
            return await do()
        preview = Preview(
            "ml 0",
            f"{view.approved_weight:g} {view.champion}",
            partial(rendering_safety.weight_to_zero, view),
            "Set it to 0",
        )
        return await self._confirming.ask(call, preview, seal, do)

    async def _ask_weight(self, weight: float, call: Call) -> Outgoing:
        return Outgoing(rendering.weight_answer(await self._desk.ask_weight(weight, call.actor)))


def is_look(said: str) -> bool:
    """Whether an audit entry (``/pairs``, ``tap go:pairs``) is a command that changes nothing."""
    tapped = tap_of(said.removeprefix("tap ")) if said.startswith("tap ") else None
    typed = tapped.typed if isinstance(tapped, CommandTap) else command_of(said)
    command = find(typed.name, typed.arguments) if typed is not None else None
    return command is not None and not command.changes and command.name != "panic"


def _back(deed_id: int) -> Keyboard:
    return Keyboard([[Button("↪️ Redo", callback_data=f"new:undo {deed_id}"), way_to("audit")]])


def _factors(pair: str) -> Keyboard:
    buttons = [Button(f"{factor:g}", callback_data=f"go:size {pair} {factor:g}") for factor in FACTORS]
    return Keyboard([buttons, [Button("📐 All pairs", callback_data="go:size")]])


def _newest(count: int) -> Button:
    return Button("« Newest", callback_data=f"go:audit {count}")
