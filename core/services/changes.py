"""Settings changed from the chat: which may be, how they lie over the configured ones, and when they lapse.

Rules (``CHANGEABLE``) are an approver's to change; what a person is told and how much of a pair is traded, an
operator's.

A change is kept beside the configured value it was approved against (``Controls.changes``). It counts while that is
still what is configured: whoever edits ``config.yaml`` afterwards has the last word, and the change lapses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from core.config import Notify, Settings
from core.domain.candles import Pair
from core.domain.ledger import Controls
from core.errors import SettingsError

CHANGEABLE: dict[str, str] = {
    "rules.alignment": "trades against the longer trends",
    "rules.btc": "trades against a BTC they move with",
    "rules.unknown": "rules that cannot tell",
    "strategy.adx_min": "the lowest ADX",
    "strategy.volume_ratio_min": "the lowest volume ratio",
    "strategy.rsi_long_max": "the highest RSI of a long",
    "strategy.rsi_short_min": "the lowest RSI of a short",
    "strategy.refused_regimes": "regimes without signals",
    "strategy.cooldown_bars": "candles between two signals",
}
"""The rules that a person may change from the chat by an approval, in words."""


@dataclass(frozen=True, slots=True)
class Change:
    """One changed setting: ``configured`` is what the configuration said when it was approved ``at`` (epoch ms).

    ``by``: who did it, or ``approval`` the number of the card that was answered (0: none).
    """

    name: str
    configured: object
    value: object
    by: str
    at: int
    approval: int = 0

    @property
    def sentence(self) -> str:
        """``strategy.adx_min 25 → 20``."""
        return f"{self.name} {plain(self.configured)} → {plain(self.value)}"


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings that count, the changes they hold, and those that count no longer with the reason."""

    settings: Settings
    active: tuple[Change, ...]
    lapsed: tuple[tuple[Change, str], ...]


def plain(value: object) -> str:
    """A setting's value as a person would write it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def pair_risk(pair: Pair) -> str:
    """The name of a pair's risk multiplier."""
    return f"pairs.{pair}.risk"


def _pair_of(name: str) -> str | None:
    """``LINK/USDT`` of ``pairs.LINK/USDT.risk``."""
    found = re.fullmatch(r"pairs\.([A-Z0-9]+/[A-Z0-9]+)\.risk", name)
    return found[1] if found else None


def is_changeable(name: str) -> bool:
    """Whether the chat can change a setting of that name at all: a rule, ``notify.*``, or a pair's risk."""
    section, _, key = name.partition(".")
    return name in CHANGEABLE or (section == "notify" and key in Notify.model_fields) or _pair_of(name) is not None


def configured(settings: Settings, name: str) -> object:
    """The value of a setting by its dotted name, as JSON can hold it: a list is ``CHOPPY+VOLATILE`` or ``none``.

    Raises SettingsError for one that the chat may not change.
    """
    if not is_changeable(name):
        raise SettingsError(f"{name} cannot be changed from the chat; these can: {', '.join(CHANGEABLE)}")
    if (symbol := _pair_of(name)) is not None:
        found = next((p.risk for p in settings.pairs if p.symbol == symbol), None)
        if found is None:
            raise SettingsError(f"{symbol} is not among the pairs")
        return found
    section, key = name.split(".")
    value: object = getattr(getattr(settings, section), key)
    return "+".join(value) or "none" if isinstance(value, tuple) else value


def _put(content: dict[str, Any], name: str, value: object) -> None:
    """A changed value into the settings' plain form."""
    if (symbol := _pair_of(name)) is not None:
        content["pairs"] = [p | {"risk": value} if p["symbol"] == symbol else p for p in content["pairs"]]
        return
    section, key = name.split(".")
    content[section] = content[section] | {key: value}


def changed(settings: Settings, values: Mapping[str, object]) -> Settings:
    """The settings with other values (``{"strategy.adx_min": 20}``), checked as a file's are.

    Raises SettingsError with a sentence for what is not possible.
    """
    if not values:
        return settings
    content: dict[str, Any] = settings.model_dump()
    for name, value in values.items():
        configured(settings, name)
        _put(content, name, value)
    try:
        found = Settings.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        reason = fault["msg"].removeprefix("Value error, ")
        named = f"{where} {fault['input']!r}" if where in values else ", ".join(values)
        raise SettingsError(f"{named} is not possible: {reason}") from None
    check_history(found)
    return found


def check_history(settings: Settings) -> None:
    """Raises SettingsError for rules that look back further than a pair's candles are sure to reach."""
    variants = {f"variants.{name}": v.strategy(settings.strategy) for name, v in settings.variants.items()}
    kept = settings.candles.history
    for section, rules in {"strategy": settings.strategy, **variants}.items():
        for name in ("warmup_bars", "cooldown_bars"):
            if (bars := getattr(rules, name)) > kept:
                raise SettingsError(f"{section}.{name} {bars} is more than candles.history {kept}: raise that one too")


def in_force(settings: Settings, changes: Mapping[str, object]) -> InForce:
    """The configured settings with what has been changed and still counts. Never raises: what cannot be lapses.

    ``changes`` as ``Controls`` keeps them. Some belong together (both ends of the RSI), so all are tried at once, and
    one after the other only where they are impossible together.
    """
    active: list[Change] = []
    lapsed: list[tuple[Change, str]] = []
    for change in stored(changes):
        symbol = _pair_of(change.name)
        if not is_changeable(change.name):
            lapsed.append((change, "it can no longer be changed from the chat"))
        elif symbol is not None and all(p.symbol != symbol for p in settings.pairs):
            lapsed.append((change, f"{symbol} is not among the pairs any more"))
        elif configured(settings, change.name) != change.configured:
            now = plain(configured(settings, change.name))
            lapsed.append((change, f"the configuration has become {now} since"))
        else:
            active.append(change)
    try:
        return InForce(changed(settings, _values(active)), tuple(active), tuple(lapsed))
    except SettingsError:
        kept: list[Change] = []
        for change in active:
            try:
                changed(settings, _values([*kept, change]))
            except SettingsError as error:
                lapsed.append((change, str(error)))
            else:
                kept.append(change)
        return InForce(changed(settings, _values(kept)), tuple(kept), tuple(lapsed))


def _values(changes: Sequence[Change]) -> dict[str, object]:
    return {change.name: change.value for change in changes}


def stored(changes: Mapping[str, object]) -> tuple[Change, ...]:
    """The changes as kept in ``Controls``, by name; what is not one is left out."""
    found = []
    for name in sorted(changes):
        body = changes[name]
        if isinstance(body, Mapping) and {"from", "to"} <= set(body):
            by, at, approval = str(body.get("by", "")), int(body.get("at", 0)), int(body.get("approval", 0))
            found.append(Change(name, body["from"], body["to"], by, at, approval))
    return tuple(found)


def with_changes(
    controls: Controls, settings: Settings, values: Mapping[str, object], by: str, at: int, approval: int = 0
) -> Controls:
    """The controls with these settings changed; a value that is the configured one takes the change back.

    ``settings`` are the configured ones. Raises SettingsError with a sentence for a change that is not possible.
    """
    before = {c.name: c for c in in_force(settings, controls.changes).active}
    found = changed(settings, {**_values(list(before.values())), **values})
    kept = dict(before)
    for name in values:
        usual, value = configured(settings, name), configured(found, name)
        kept.pop(name, None)
        if value != usual:
            kept[name] = Change(name, usual, value, by, at, approval)
    return replace(controls, changes={name: _body(change) for name, change in kept.items()})


def without_changes(controls: Controls, names: Sequence[str] | None = None) -> Controls:
    """The controls with these changes taken back; all of them for None."""
    kept = {} if names is None else {n: body for n, body in controls.changes.items() if n not in names}
    return replace(controls, changes=kept)


def _body(change: Change) -> dict[str, object]:
    return {
        "from": change.configured,
        "to": change.value,
        "by": change.by,
        "at": change.at,
        "approval": change.approval,
    }
