"""Settings: ``config.yaml`` and ``JULABA__SECTION__KEY`` become one frozen ``Settings``; secrets stay apart.

Defaults live here alone. Unknown or impossible values raise SettingsError naming the key, the value and what is
allowed. Secrets come from the environment or ``.env`` and are refused in ``config.yaml``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.domain.candles import Pair, Timeframe
from core.errors import SettingsError, UsageError

ENV_PREFIX = "JULABA__"
DEFAULT_CONFIG = Path("config.yaml")
DEFAULT_DATA_DIR = Path("data")

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
RuleMode = Literal["veto", "half", "record"]
NoticeLevel = Literal["loud", "silent", "none"]


def _pair_text(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError('a pair such as "LINK/USDT" is wanted')
    try:
        return str(Pair.parse(str(text)))
    except UsageError as error:
        raise ValueError(str(error)) from error


def _timeframe_text(text: object) -> str:
    try:
        return Timeframe.parse(str(text)).name
    except UsageError as error:
        raise ValueError(str(error)) from error


def _root_url(url: str) -> str:
    if not re.match(r"^https?://[^\s/]+", url):
        raise ValueError("a server root such as https://api.example.com is wanted")
    return url.rstrip("/")


PairText = Annotated[str, BeforeValidator(_pair_text)]
TimeframeText = Annotated[str, BeforeValidator(_timeframe_text)]
RootUrl = Annotated[str, AfterValidator(_root_url)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Pydantic would take true for 1: a balance of one dollar."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("true and false are switches; this wants a value")
        return value


class PairSettings(Section):
    symbol: PairText
    enabled: bool = True
    risk: Annotated[float, Field(gt=0, le=2)] = 1.0  # multiplies paper.risk_per_trade


class Access(Section):
    users: dict[int, Literal["viewer", "operator", "approver"]] = {}

    @field_validator("users")
    @classmethod
    def _people_only(cls, users: dict[int, str]) -> dict[int, str]:
        if bad := [user for user in users if user <= 0]:
            raise ValueError(f"user ids are positive numbers, found {bad[0]}")
        return users


class Telegram(Section):
    base_url: RootUrl = "https://api.telegram.org"
    chat_id: int | None = None  # None: alerts go to the first approver's private chat
    poll_timeout: Annotated[int, Field(ge=0, le=50)] = 10  # seconds of one long poll


class Exchange(Section):
    base_url: RootUrl = "https://api.mexc.com"
    timeout: Positive = 10.0  # seconds for one request
    rate_limit_ms: Annotated[int, Field(ge=0, le=10_000)] = 50  # pause between two requests
    page: Annotated[int, Field(ge=10, le=500)] = 500  # candles per request
    grace: Annotated[float, Field(ge=0, le=30)] = 1.0  # seconds after a close before it is asked for
    renames: dict[PairText, PairText] = {"MATIC/USDT": "POL/USDT"}


class Gemini(Section):
    base_url: RootUrl = "https://generativelanguage.googleapis.com"
    model: str = "gemini-3.5-flash-lite"
    timeout: Annotated[float, Field(gt=0, le=170)] = 20.0  # seconds for one answer
    on_no_opinion: Literal["refuse", "rules"] = "refuse"
    neutral: Fraction = 0.80  # holds Gemini's place in the combined confidence when rules decide
    grounding: bool = False  # Google search for news; models from Gemini 3 on
    daily_tokens: Annotated[int, Field(ge=0)] = 400_000


class Strategy(Section):
    adx_min: Annotated[float, Field(ge=0, le=100)] = 25.0
    rsi_long_max: Annotated[float, Field(ge=0, le=100)] = 70.0
    rsi_short_min: Annotated[float, Field(ge=0, le=100)] = 30.0
    volume_ratio_min: NonNegative = 0.75
    cooldown_bars: Annotated[int, Field(ge=0)] = 8
    stop_atr: Positive = 2.0
    max_bars: Annotated[int, Field(ge=1, le=10_000)] = 100
    warmup_bars: Annotated[int, Field(ge=50)] = 50
    breakeven_after_tp1: bool = False


MOST_VARIANTS = 4


def _variant_name(name: str) -> str:
    if not re.match(r"^[a-z][a-z0-9_]{0,13}$", name):
        raise ValueError("a name of at most 14 small letters, digits and _ is wanted")
    return name


VariantName = Annotated[str, AfterValidator(_variant_name)]


class Variant(Section):
    """A second choice of signal filters, followed beside the strategy's own; None means as ``strategy`` has it.

    Every candidate has one set of levels and one outcome, so a variant can only choose among candidates.
    """

    adx_min: Annotated[float, Field(ge=0, le=100)] | None = None
    rsi_long_max: Annotated[float, Field(ge=0, le=100)] | None = None
    rsi_short_min: Annotated[float, Field(ge=0, le=100)] | None = None
    volume_ratio_min: NonNegative | None = None
    cooldown_bars: Annotated[int, Field(ge=0)] | None = None
    refused_regimes: tuple[Literal["CHOPPY", "TRENDING", "WEAK_TRENDING", "VOLATILE"], ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _filters_only(cls, values: object) -> object:
        for key in ("stop_atr", "max_bars", "warmup_bars", "breakeven_after_tp1"):
            if isinstance(values, Mapping) and key in values:
                raise ValueError(f"a variant only chooses among candidates; {key} is the same for all of them")
        return values

    def strategy(self, own: Strategy) -> Strategy:
        """The strategy with this variant's numbers in place of its own."""
        changes = self.model_dump(exclude_none=True, exclude={"refused_regimes"})
        return own.model_copy(update=changes)

    def differs(self, own: Strategy) -> bool:
        regimes = self.refused_regimes is not None and set(self.refused_regimes) != {"CHOPPY"}
        return regimes or self.strategy(own) != own


class CandleSettings(Section):
    max_gap: Annotated[int, Field(ge=0)] = 8  # missing candles that indicators and trades may bridge
    history: Annotated[int, Field(ge=300, le=5_000)] = 500  # that live indicators are begun from
    min_history: Annotated[int, Field(ge=100)] = 300  # no signal on fewer

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_history > self.history:
            raise ValueError(f"min_history {self.min_history} is more than history {self.history}")
        return self


class Rules(Section):
    alignment: RuleMode = "half"
    alignment_timeframes: tuple[TimeframeText, ...] = ("5m", "15m", "1h")
    btc: RuleMode = "half"
    btc_pair: PairText = "BTC/USDT"
    max_btc_correlation: Fraction = 0.8
    correlation_bars: Annotated[int, Field(ge=10)] = 96
    unknown: Literal["pass", "refuse"] = "pass"


class Paper(Section):
    start_balance: Positive = 10_000.0
    fee_rate: Annotated[float, Field(ge=0, lt=0.1)] = 0.0005  # of notional, per side
    slippage_rate: Annotated[float, Field(ge=0, lt=0.1)] = 0.0005  # of price, per side
    risk_per_trade: Annotated[float, Field(gt=0, le=0.1)] = 0.02
    max_leverage: Positive = 3.0


class Portfolio(Section):
    max_positions: Annotated[int, Field(ge=1)] = 3
    max_correlated: Annotated[int, Field(ge=1)] = 2
    correlation: Fraction = 0.7
    max_open_risk: Fraction = 0.04
    daily_loss: Annotated[float, Field(gt=0, lt=1)] = 0.05
    drawdown_warn: Annotated[float, Field(gt=0, lt=1)] = 0.15
    drawdown_pause: Annotated[float, Field(gt=0, lt=1)] = 0.20

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.drawdown_warn > self.drawdown_pause:
            raise ValueError(f"drawdown_warn {self.drawdown_warn} is more than drawdown_pause {self.drawdown_pause}")
        return self


class Ml(Section):
    scale: Literal["percentile", "probability"] = "percentile"
    label: Literal["gross", "net"] = "gross"
    features: Literal["v1"] = "v1"
    threshold: Fraction = 0.70  # combined confidence that takes a signal
    min_rows: Annotated[int, Field(ge=20)] = 50
    half_life_days: Positive = 180.0
    retrain_after: Annotated[int, Field(ge=1)] = 10  # new live outcomes
    bootstrap_days: Annotated[int, Field(ge=30)] = 730
    seed: int = 7


class Gate(Section):
    min_outcomes: Annotated[int, Field(ge=50)] = 50
    min_trades: Annotated[int, Field(ge=0)] = 20
    min_accuracy: Annotated[float, Field(ge=0.5, le=1)] = 0.55
    error: Annotated[float, Field(gt=0, le=0.2)] = 0.05  # chance, over a model line's life, that noise passes


class Approvals(Section):
    expire_hours: Positive = 72.0
    weight_steps: tuple[Fraction, ...] = (0.25, 0.50, 0.75)


class Notify(Section):
    opened: NoticeLevel = "loud"
    closed: NoticeLevel = "loud"
    target: NoticeLevel = "silent"
    signal: NoticeLevel = "silent"  # a refused signal; a taken one speaks as `opened`
    approval: NoticeLevel = "loud"
    fault: NoticeLevel = "loud"
    training: NoticeLevel = "silent"


MOST_BOOTSTRAP_CANDLES = 730 * 96

DEFAULT_PAIRS = (
    PairSettings(symbol="LINK/USDT", risk=1.0),
    PairSettings(symbol="ETH/USDT", risk=0.8),
    PairSettings(symbol="SOL/USDT", risk=0.7),
    PairSettings(symbol="AVAX/USDT", risk=0.7),
    PairSettings(symbol="POL/USDT", risk=0.7),
)


class Settings(Section):
    """Everything but secrets. Frozen: a changed setting is a restart; what the chat changes lives in the store."""

    pairs: tuple[PairSettings, ...] = DEFAULT_PAIRS
    timeframe: TimeframeText = "15m"
    detail_timeframe: Literal["none", "1m", "5m"] = "none"  # for the order inside a candle, in backtests
    mode: Literal["paper", "signals"] = "paper"
    clock: Literal["system", "exchange"] = "system"
    fills: Literal["reference", "pessimistic"] = "reference"
    timezone: str = "UTC"
    access: Access = Access()
    telegram: Telegram = Telegram()
    exchange: Exchange = Exchange()
    gemini: Gemini = Gemini()
    strategy: Strategy = Strategy()
    variants: dict[VariantName, Variant] = {}
    candles: CandleSettings = CandleSettings()
    rules: Rules = Rules()
    paper: Paper = Paper()
    portfolio: Portfolio = Portfolio()
    ml: Ml = Ml()
    gate: Gate = Gate()
    approvals: Approvals = Approvals()
    notify: Notify = Notify()

    @field_validator("pairs")
    @classmethod
    def _pairs_once(cls, pairs: tuple[PairSettings, ...]) -> tuple[PairSettings, ...]:
        symbols = [p.symbol for p in pairs]
        if not symbols:
            raise ValueError("at least one pair is needed")
        if twice := next((s for s in symbols if symbols.count(s) > 1), None):
            raise ValueError(f"{twice} is there twice")
        return pairs

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError("a zone such as Europe/Berlin or UTC is wanted") from error
        return name

    @model_validator(mode="after")
    def _variants_of_something(self) -> Self:
        if len(self.variants) > MOST_VARIANTS:
            raise ValueError(f"variants holds {len(self.variants)}, at most {MOST_VARIANTS} share the evidence")
        for name, variant in self.variants.items():
            if not variant.differs(self.strategy):
                raise ValueError(f"variants.{name} is the strategy's own; change at least one of its filters")
        return self

    @field_validator("detail_timeframe")
    @classmethod
    def _detail_is_shorter(cls, name: str, info: ValidationInfo) -> str:
        frame = info.data.get("timeframe")
        if name != "none" and frame and Timeframe.parse(name).minutes >= Timeframe.parse(frame).minutes:
            raise ValueError(f"it must be shorter than the timeframe, {frame}")
        return name

    @property
    def frame(self) -> Timeframe:
        return Timeframe.parse(self.timeframe)

    @property
    def detail(self) -> Timeframe | None:
        return None if self.detail_timeframe == "none" else Timeframe.parse(self.detail_timeframe)

    @property
    def traded(self) -> tuple[Pair, ...]:
        """The configured pairs in their order, whether or not they are switched on."""
        return tuple(Pair.parse(p.symbol) for p in self.pairs)

    @property
    def btc(self) -> Pair:
        return Pair.parse(self.rules.btc_pair)

    @property
    def bootstrap_ms(self) -> int:
        """How much history to learn from: ``ml.bootstrap_days``, but no more candles than two years of 15m have.

        On shorter timeframes the days named would be a million candles a pair, and say little more.
        """
        return min(self.ml.bootstrap_days * 86_400_000, MOST_BOOTSTRAP_CANDLES * self.frame.ms)

    def with_pairs(self, pairs: Iterable[Pair]) -> Settings:
        """These settings with other pairs: configured ones keep their risk, and one that is named is switched on."""
        chosen = [{"symbol": str(pair), "risk": self.risk_of(pair)} for pair in pairs]
        return Settings.model_validate({**self.model_dump(), "pairs": chosen})

    def risk_of(self, pair: Pair) -> float:
        """The pair's risk multiplier; 1 for a pair that is not configured."""
        return next((p.risk for p in self.pairs if p.symbol == str(pair)), 1.0)


_SECRET_KEY = re.compile(r"(token|secret|password|api_?key)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"^(\d{6,}:[A-Za-z0-9_-]{30,}|AIza[A-Za-z0-9_-]{30,})$")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without the traps: a key given twice is refused, and bare words are read as YAML 1.2 reads them.

    PyYAML's own rules make 12:30 the number 750, 012 ten, 1e3 a text, and `no`, `off` and a pair called ON booleans.
    """


def _mapping_without_duplicates(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise SettingsError(f"line {key_node.start_mark.line + 1}: a list or mapping cannot be a key")
        if key in seen:
            raise SettingsError(f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice; keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)
_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _form, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.inf|\.nan)$", "-+."),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), [*_first, ""])


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's top mapping. Raises SettingsError with the line where it is no YAML mapping or holds a secret."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except SettingsError as error:
        raise SettingsError(f"{path}, {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise SettingsError(f"{path}{where} is not valid YAML: {reason}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold `key: value` lines, found a {type(content).__name__}")
    _refuse_secrets(content, path)
    return content


def _refuse_secrets(content: Mapping[Any, Any], path: Path, prefix: str = "") -> None:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _refuse_secrets(value, path, f"{name}.")
        elif isinstance(value, list):
            _refuse_secrets(dict(enumerate(value)), path, f"{name}.")
        elif _SECRET_KEY.search(str(key)) or (isinstance(value, str) and _SECRET_VALUE.match(value)):
            raise SettingsError(
                f"{path}: {name} looks like a secret; put it into the environment or .env "
                "(TELEGRAM_BOT_TOKEN, GEMINI_API_KEY) and remove it here"
            )


def _overrides(environ: Mapping[str, str]) -> list[tuple[list[str], Any, str]]:
    """``JULABA__PAPER__FEE_RATE=0.001`` as (path, value, variable); values are read as YAML, so lists work."""
    found = []
    for variable in sorted(environ):
        if variable.upper().startswith(ENV_PREFIX):
            try:
                value = yaml.load(environ[variable], Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
            except (yaml.YAMLError, SettingsError) as error:
                raise SettingsError(f"{variable}={environ[variable]!r} is not a valid value") from error
            found.append((variable[len(ENV_PREFIX) :].lower().split("__"), value, variable))
    return found


def _with_overrides(content: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    merged = dict(content)
    for path, value, variable in _overrides(environ):
        level = merged
        for key in path[:-1]:
            inner = level.get(key)
            if inner is not None and not isinstance(inner, dict):
                raise SettingsError(f"{variable}: {key} is not a section")
            level[key] = dict(inner or {})
            level = level[key]
        level[path[-1]] = value
    return merged


def _sentence(error: ValidationError, content: Mapping[str, Any], source: str) -> str:
    """The first fault as ``config.yaml: paper.fee_rate is -1: Input should be greater than or equal to 0``."""
    fault = error.errors()[0]
    key = (".".join(str(part) for part in fault["loc"]) or "settings") + _pair_at(fault["loc"], content)
    if fault["loc"][:2] == ("access", "users") and fault["loc"][-1] == "[key]":
        return f"{source}: access.users.{fault['input']}: user ids are numbers (@userinfobot tells yours)"
    key = key.removesuffix(".[key]")
    if fault["type"] == "extra_forbidden":
        section = _section_at(fault["loc"][:-1])
        known = f"; known here: {', '.join(section)}" if section else ""
        return f"{source}: unknown key {key}{known}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "model_type":
        reason = "a section is wanted, keys and values below its name; where all its keys are gone, remove the name too"
    value = "" if isinstance(fault["input"], dict | list | tuple) else f" is {fault['input']!r}"
    return f"{source}: {key}{value}: {reason}{more}"


def _pair_at(path: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """Which pair ``pairs.0.risk`` is about, such as `` (LINK/USDT)``; empty where none is named."""
    if len(path) < 3 or path[0] != "pairs" or not isinstance(path[1], int):
        return ""
    symbol = content["pairs"][path[1]].get("symbol")
    return f" ({symbol})" if isinstance(symbol, str) and path[2] != "symbol" else ""


def _section_at(path: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at a path of the settings; empty where that is no section."""
    if path[:1] == ("variants",) and len(path) == 2:
        return list(Variant.model_fields)
    model: Any = Settings
    for part in path:
        if isinstance(part, int):
            model = PairSettings
            continue
        info = getattr(model, "model_fields", {}).get(part)
        model = info.annotation if info else None
    return list(getattr(model, "model_fields", {}))


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``path`` (default ``./config.yaml``, which may be missing) and the environment.

    Raises SettingsError naming the key, the value and what is allowed; a file named by the caller must exist.
    """
    environ = os.environ if environ is None else environ
    file = path or DEFAULT_CONFIG
    if path is not None and not path.exists():
        raise SettingsError(f"there is no settings file {path}")
    content = read_yaml(file) if file.exists() else {}
    source = str(file) if file.exists() else "settings"
    try:
        settings = Settings.model_validate(content)
        if _overrides(environ):
            content = _with_overrides(content, environ)
            settings = Settings.model_validate(content)
    except ValidationError as error:
        names = ", ".join(v for _, _, v in _overrides(environ))
        raise SettingsError(_sentence(error, content, source if not names else f"{source} with {names}")) from None
    return settings
