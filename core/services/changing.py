"""How a person's change becomes one: stored with its audit entries and its deed, then remembered. One way for all.

A deed keeps each thing that was changed as it was and as it became, by name: ``paused``, ``switches/LINK/USDT``,
``changes/strategy.adx_min``. ``core.services.undo`` takes it back from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from core.domain.account import Account
from core.domain.candles import Pair, to_ms
from core.domain.deeds import Alteration, AuditEntry, Deed
from core.domain.ledger import Controls, Switch
from core.domain.messages import Event
from core.ports import Clock, Ledger
from core.services.changes import plain
from core.services.loop import TradingLoop
from core.services.views import Actor

SETTING, SWITCH = "changes/", "switches/"
NEVER_BACK = frozenset({"approved_weight", "approved_model", "granted_by", "line"})
"""Of the controls, what only an approval gives: it is not taken back by another way."""

MOST_DETAIL = 500  # characters of an audit entry


@dataclass(frozen=True, slots=True)
class Standing:
    """What people can change, as it stands. ``switches``: of every pair, as configured where nobody has switched."""

    controls: Controls
    switches: Mapping[Pair, Switch]
    account: Account


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that was changed, by its name and in words: ``LINK/USDT``, ``on``, ``off``."""

    name: str
    before: str
    after: str

    @property
    def sentence(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did. ``deed`` is the number to take it back by, 0 for what cannot be taken back."""

    deed: int
    before: Standing
    after: Standing
    differences: tuple[Difference, ...]


def standing(loop: TradingLoop) -> Standing:
    """What people can change, as it is now."""
    switches = {pair: Switch(loop.enabled(pair)) for pair in loop.in_force.traded}
    return Standing(loop.memory.controls, switches | loop.memory.switches, loop.account)


class Changer:
    """Changes what people can change: whole, or not at all."""

    def __init__(self, clock: Clock, ledger: Ledger, loop: TradingLoop) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop

    def standing(self) -> Standing:
        return standing(self._loop)

    async def make(
        self,
        actor: Actor,
        action: str,
        alter: Callable[[Standing], Standing | None],
        *,
        events: Iterable[Event] = (),
        reversible: bool = True,
        undoes: int | None = None,
        note: str = "",
    ) -> Changed | None:
        """Makes of what stands what ``alter`` gives; None from it, or the same again, changes nothing.

        ``events`` are read after ``alter`` was called, and told even where nothing differs. ``note`` goes into the
        audit beside what was changed. A UsageError of ``alter`` leaves all as it is.
        """
        async with self._loop.changing:
            before = self.standing()
            after = alter(before)
            told = tuple(events)
            if after is None or (after == before and not told):
                return None
            change, found = self._alteration(actor, action, before, after, reversible=reversible, note=note)
            number = await self._ledger.alter(replace(change, events=told, undoes=undoes))
            self._remember(change, after)
        return Changed(number, before, after, found)

    def _alteration(
        self, actor: Actor, action: str, before: Standing, after: Standing, *, reversible: bool, note: str
    ) -> tuple[Alteration, tuple[Difference, ...]]:
        now = to_ms(self._clock.now())
        found = differences(before, after)
        details = [d.sentence for d in found] or ([""] if after != before else [])
        entries = tuple(
            AuditEntry(
                now, actor.user_id, actor.name[:64], action, " · ".join(filter(None, (detail, note)))[:MOST_DETAIL]
            )
            for detail in details
        )
        was, becomes = facts(before), facts(after)
        names = [name for name in sorted({*was, *becomes}) if was.get(name) != becomes.get(name)]
        deed = None
        if names and reversible and before.account == after.account and not _granted(before, after):
            deed = Deed(
                deed_id=0,
                time=now,
                user_id=actor.user_id,
                user_name=actor.name[:64],
                subject=action,
                before={name: was.get(name) for name in names},
                after={name: becomes.get(name) for name in names},
            )
        switches = {pair: s for pair, s in after.switches.items() if before.switches.get(pair) != s}
        change = Alteration(
            controls=after.controls if after.controls != before.controls else None,
            switches=switches,
            account=after.account if after.account != before.account else None,
            entries=entries,
            deed=deed,
        )
        return change, found

    def _remember(self, change: Alteration, after: Standing) -> None:
        memory = self._loop.memory
        if change.controls is not None:
            memory.controls = change.controls
        memory.switches.update(change.switches)
        if change.account is not None:
            memory.book = replace(memory.book, account=after.account)


def _granted(before: Standing, after: Standing) -> bool:
    return any(getattr(before.controls, name) != getattr(after.controls, name) for name in NEVER_BACK)


def facts(standing: Standing) -> dict[str, object]:
    """What can be taken back, thing by thing, in JSON's types."""
    found: dict[str, object] = {}
    for each in fields(Controls):
        value = getattr(standing.controls, each.name)
        if isinstance(value, Mapping):
            found |= {f"{each.name}/{key}": body for key, body in value.items()}
        elif each.name not in NEVER_BACK:
            found[each.name] = list(value) if isinstance(value, tuple) else value
    return found | {f"{SWITCH}{pair}": asdict(switch) for pair, switch in standing.switches.items()}


def with_facts(standing: Standing, values: Mapping[str, object]) -> Standing:
    """The standing with these things as given; None takes one away."""
    controls: dict[str, Any] = {}
    switches = dict(standing.switches)
    for name, value in values.items():
        part, _, key = name.partition("/")
        if name.startswith(SWITCH):
            if isinstance(value, Mapping):
                switches[Pair.parse(key)] = Switch(bool(value["enabled"]), str(value["reason"]))
        elif key:
            kept = controls.get(part, getattr(standing.controls, part))
            controls[part] = {k: v for k, v in kept.items() if k != key} | ({} if value is None else {key: value})
        else:
            controls[part] = value
    return replace(standing, controls=replace(standing.controls, **controls), switches=switches)


def differences(before: Standing, after: Standing) -> tuple[Difference, ...]:
    """All that is another, in words."""
    found = list(difference_of(facts(before), facts(after)))
    was, becomes = before.controls, after.controls
    if was.approved_weight != becomes.approved_weight:
        found.append(Difference("weight", plain(was.approved_weight), plain(becomes.approved_weight)))
    if before.account.drawdown_paused and not after.account.drawdown_paused:
        peaks = (f"{standing.account.peak_equity:,.2f}" for standing in (before, after))
        found.append(Difference("drawdown pause, counted from a peak of", *peaks))
    if before.account.cooldown_until > after.account.cooldown_until:
        found.append(Difference("pause after a run of losses", "on", "off"))
    return tuple(found)


def difference_of(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Difference, ...]:
    """Of things by name, those that are another."""
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return tuple(_difference(name, before.get(name), after.get(name)) for name in names)


def _difference(name: str, before: object, after: object) -> Difference:
    if name == "paused":
        return Difference("trading", *(f"paused {reason}" if reason else "running" for reason in (before, after)))
    if name.startswith(SWITCH):
        return Difference(name.removeprefix(SWITCH), _switched(before), _switched(after))
    if name.startswith(SETTING):
        was, becomes = (_value(one, other) for one, other in ((before, after), (after, before)))
        return Difference(name.removeprefix(SETTING), was, becomes)
    return Difference(name.replace("/", " ", 1), *map(_plainly, (before, after)))


def _plainly(body: object) -> str:
    if isinstance(body, list):
        return ", ".join(map(str, body)) or "none"
    return "none" if body is None else plain(body)


def _switched(body: object) -> str:
    return "on" if isinstance(body, Mapping) and body.get("enabled") else "off"


def _value(body: object, other: object) -> str:
    """A changed setting's value; where it is as configured, the change on the other side knows what that was."""
    if isinstance(body, Mapping):
        return plain(body.get("to"))
    return plain(other.get("from")) if isinstance(other, Mapping) else "as configured"
