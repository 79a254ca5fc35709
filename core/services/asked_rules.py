"""A person asks for another rule: the question that the approvers get, with what it would have added as evidence."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import UsageError
from core.services.changes import CHANGEABLE, configured, plain
from core.services.outlook import Looser, OutlookDesk
from core.services.rules import RuleKeeper
from core.services.views import Actor


async def ask_for_rule(rules: RuleKeeper, outlook: OutlookDesk, values: Mapping[str, str], actor: Actor) -> int:
    """The number of the card that waits. ``values`` by the rules' names, whole or their last part.

    Raises UsageError for a name that is no rule, for nothing new, and while another rule's question waits;
    SettingsError for a value that is not possible.
    """
    if actor.role == "viewer":
        raise UsageError("a viewer cannot ask for another rule")
    values = {_rule(name): value for name, value in values.items()}
    waiting = await rules.waiting()
    if waiting is not None:
        raise UsageError(f"approval {waiting} already asks for a change of a rule; answer that one first")
    settings = rules.in_force
    asked = {name: _number(value) for name, value in values.items()}
    if all(plain(configured(settings, name)) == plain(value) for name, value in asked.items()):
        raise UsageError("that is what counts already")
    changes = ", ".join(f"{n} {plain(configured(settings, n))} \u2192 {plain(v)}" for n, v in asked.items())
    words = ", ".join(CHANGEABLE[name] for name in asked)
    found = next((each for each in await outlook.looser() if dict(each.values) == asked), None)
    lines = (f"{actor.name} asks for {words}: {changes}.", evidence(found), "/rules leads back, at any time.")
    return await rules.ask(asked, f"Change a rule: {changes}?", lines, actor.name)


def _rule(name: str) -> str:
    """A rule's whole name from that or its last part; no two end alike."""
    found = next((rule for rule in CHANGEABLE if name in (rule, rule.partition(".")[2])), None)
    if found is None:
        raise UsageError(f"{name[:40]} is not a rule; these are: {', '.join(CHANGEABLE)}")
    return found


def _number(value: str) -> object:
    try:
        return float(value)
    except ValueError:
        return value


def evidence(found: Looser | None) -> str:
    """What is known of the change, in a sentence."""
    if found is None or found.price.mean is None:
        return "What it would have added so far is not known: no crossover that it alone would take has ended."
    price = found.price
    interval = (
        f", 95% {price.low:+.2f} to {price.high:+.2f}"
        if price.low is not None and price.high is not None
        else ", too few separate days for an interval"
    )
    return (
        f"So far it would have added {found.added} signals to {found.signals}; {price.n} of them have ended and made "
        f"{price.mean:+.2f}R net each{interval}."
    )
