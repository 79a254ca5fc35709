"""Which settings are tried: ``adx_min=20:35:2.5`` and its like become checked settings."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, ValidationError

from core.config import Paper, Settings, Strategy
from core.errors import UsageError

Value = bool | int | float | str

MOST_SETTINGS = 100_000
"""More than this is refused: nobody waits for it, and nothing good would come of choosing among them."""

DEFAULT_GRID = (
    *("adx_min=20,22.5,25,30,35", "volume_ratio_min=0.5,0.75,1"),
    *("stop_atr=1.5,2,2.5,3", "cooldown_bars=4,8,16"),
)
"""What is tried where nothing is asked for: around the strategy as it came, 180 settings. Below an ADX of 20 every
regime is CHOPPY, so there is nothing to try."""

_MOST_VALUES = 10_000  # of one setting
_WORDS: dict[str, Value] = {"true": True, "false": False}
_EXITS = ("stop_atr", "max_bars", "breakeven_after_tp1", "fills")


def known_keys() -> tuple[str, ...]:
    """Everything that ``--set`` takes: the keys of ``strategy``, and what a fill costs."""
    return (*Strategy.model_fields, "fills", "paper.fee_rate", "paper.slippage_rate")


@dataclass(frozen=True)
class Setting:
    """One way to trade: ``values`` are those of the grid's keys, in their order; ``number`` its place in the sweep."""

    number: int
    values: tuple[Value, ...]
    strategy: Strategy
    fills: str
    fee_rate: float
    slippage_rate: float

    def of(self, base: Settings) -> Settings:
        """The whole settings of a backtest of this one."""
        paper = base.paper.model_copy(update={"fee_rate": self.fee_rate, "slippage_rate": self.slippage_rate})
        return base.model_copy(update={"strategy": self.strategy, "fills": self.fills, "paper": paper})


@dataclass(frozen=True)
class Grid:
    """The values of each key, and the settings made of them (all, or some by lot)."""

    axes: Mapping[str, tuple[Value, ...]]
    settings: tuple[Setting, ...] = field(repr=False)
    combinations: int

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.axes)


def parse_grid(texts: Sequence[str], base: Settings, *, sample: int | None = None, seed: int = 0) -> Grid:
    """The settings of ``KEY=VALUES`` texts, each checked as in ``config.yaml``; keys not named stay as in ``base``.

    Values are listed with commas, ``FROM:TO:STEP`` is a range with its end included. Without texts ``DEFAULT_GRID``.
    ``sample`` takes that many different ones by lot, the same for the same seed. Raises UsageError naming the key, the
    value and what is allowed.
    """
    axes = dict(_axis(text, base) for text in _once(texts or DEFAULT_GRID))
    # Settings that share their exits lie together, so that a chunk of them searches few outcomes.
    order = sorted(axes, key=lambda key: (key not in _EXITS, list(axes).index(key)))
    combinations = math.prod(len(values) for values in axes.values())
    wanted = combinations if sample is None else min(sample, combinations)
    if wanted > MOST_SETTINGS:
        raise UsageError(
            f"{wanted:,} settings are more than {MOST_SETTINGS:,}; take fewer values, or some by lot with --random N"
        )
    chosen: Iterable[int] = range(combinations)
    if wanted < combinations:
        chosen = sorted(random.Random(seed).sample(range(combinations), wanted))
    settings = tuple(_setting(number, _at(place, order, axes), axes, base) for number, place in enumerate(chosen))
    return Grid(axes, settings, combinations)


def _once(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Key and values of each text; a key given twice would hide the first."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip().removeprefix("strategy.")
        key = f"paper.{key}" if key in ("fee_rate", "slippage_rate") else key
        if not equals:
            raise UsageError(f"--set {text!r} must be KEY=VALUES, such as adx_min=20:30:2.5 or stop_atr=1.5,2,2.5")
        if key not in known_keys():
            raise UsageError(f"--set {text!r}: there is no setting {key!r}; known here: {', '.join(known_keys())}")
        if key in found:
            raise UsageError(f"--set {key} is there twice; put its values into one")
        found[key] = values
    return list(found.items())


def _axis(text: tuple[str, str], base: Settings) -> tuple[str, tuple[Value, ...]]:
    key, listed = text
    raw = [value for part in listed.split(",") for value in _values(key, part.strip())]
    checked = [_checked(key, value, base) for value in raw]
    return key, tuple(dict.fromkeys(checked))  # 25 and 25.0 are one value


def _values(key: str, part: str) -> list[Value]:
    """One item of the list: a number, a word, or a range."""
    if ":" not in part:
        return [_single(part)]
    try:
        first, last, step = (Decimal(bound.strip()) for bound in part.split(":"))
        count = int((last - first) / step) + 1 if step > 0 and last >= first else 0
    except (InvalidOperation, ValueError, OverflowError):
        count = 0
    if count < 1:
        raise UsageError(f"--set {key}: {part!r} is no range FROM:TO:STEP with FROM up to TO, such as 20:30:2.5")
    if count > _MOST_VALUES:
        raise UsageError(f"--set {key}: {part!r} are {count:,} values, more than {_MOST_VALUES:,}; take a larger step")
    # In decimal, so that 0.1:0.3:0.1 gives 0.3 and not 0.30000000000000004.
    return [_single(str(first + index * step)) for index in range(count)]


def _single(text: str) -> Value:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(key: str, value: Value, base: Settings) -> Value:
    model, name = _place(key, base)
    try:
        found = type(model).model_validate({**_plain(model), name: value})
    except ValidationError as error:
        fault = next((f for f in error.errors() if f["loc"] == (name,)), error.errors()[0])
        reason = fault["msg"].removeprefix("Value error, ")
        raise UsageError(f"--set {key}: {value!r} cannot be: {reason}") from None
    checked = getattr(found, name)
    if isinstance(checked, tuple):
        return "+".join(checked) or "none"
    value_of: Value = checked
    return value_of


def _place(key: str, base: Settings) -> tuple[BaseModel, str]:
    """The section that holds a key, and its name there."""
    if key == "fills":
        return base, key
    section, _, name = key.rpartition(".")
    return (base.paper if section == "paper" else base.strategy), name


def _plain(model: BaseModel) -> dict[str, Any]:
    """The fields as they are: sections within are not dumped, so that this stays quick."""
    return {name: getattr(model, name) for name in type(model).model_fields}


def _at(place: int, order: Sequence[str], axes: Mapping[str, tuple[Value, ...]]) -> dict[str, Value]:
    """One point of the grid; the last key of ``order`` turns quickest."""
    point: dict[str, Value] = {}
    for key in reversed(order):
        place, index = divmod(place, len(axes[key]))
        point[key] = axes[key][index]
    return point


def _setting(number: int, point: Mapping[str, Value], axes: Mapping[str, object], base: Settings) -> Setting:
    """Checked once more as a whole: two values that are fine alone may not go together."""
    rules = {key: value for key, value in point.items() if key in Strategy.model_fields}
    costs = {key.removeprefix("paper."): value for key, value in point.items() if key.startswith("paper.")}
    try:
        strategy = Strategy.model_validate({**_plain(base.strategy), **rules})
        paper = Paper.model_validate({**_plain(base.paper), **costs}) if costs else base.paper
    except ValidationError as error:
        shown = ", ".join(f"{key}={value}" for key, value in point.items())
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--set: {shown} do not go together: {reason}") from None
    values = tuple(point[key] for key in axes)
    return Setting(number, values, strategy, str(point.get("fills", base.fills)), paper.fee_rate, paper.slippage_rate)
