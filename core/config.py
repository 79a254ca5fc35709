"""What can be set, with its default and what is allowed. ``config_file`` reads them, ``secrets`` what is none of these.

Defaults live here alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.domain.candles import DAY_MS, Pair, Timeframe
from core.errors import UsageError

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


def _socket_url(url: str) -> str:
    if url and not re.match(r"^wss?://[^\s/]+", url):
        raise ValueError("an address such as wss://stream.example.com/ws is wanted, or an empty text")
    return url


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
    topic_id: Annotated[int, Field(ge=1)] | None = None  # of a forum; None: the General one
    poll_timeout: Annotated[int, Field(ge=0, le=50)] = 10  # seconds of one long poll

    @model_validator(mode="after")
    def _topic_of_a_chat(self) -> Self:
        if self.topic_id is not None and (self.chat_id is None or self.chat_id > 0):
            raise ValueError("topic_id is a topic of a group: set chat_id to the group's number, which is negative")
        return self


class Exchange(Section):
    base_url: RootUrl = "https://api.mexc.com"
    timeout: Positive = 10.0  # seconds for one request
    rate_limit_ms: Annotated[int, Field(ge=0, le=10_000)] = 50  # pause between two requests
    page: Annotated[int, Field(ge=10, le=500)] = 500  # candles per request
    grace: Annotated[float, Field(ge=0, le=30)] = 1.0  # seconds after a close before it is asked for
    renames: dict[PairText, PairText] = {"MATIC/USDT": "POL/USDT"}
    websocket_url: Annotated[str, AfterValidator(_socket_url)] = "wss://wbs-api.mexc.com/ws"  # empty: only asked

    @property
    def stream_url(self) -> str:
        """Where live prices are pushed; empty where there is no such place.

        MEXC's own stream belongs to MEXC: beside another exchange, or a simulated one, its prices would be wrong.
        """
        fields = type(self).model_fields
        elsewhere = self.base_url != fields["base_url"].default
        return "" if elsewhere and self.websocket_url == fields["websocket_url"].default else self.websocket_url


class Gemini(Section):
    base_url: RootUrl = "https://generativelanguage.googleapis.com"
    model: str = "gemini-3.5-flash-lite"
    timeout: Annotated[float, Field(gt=0, le=170)] = 20.0  # seconds for one answer
    on_no_opinion: Literal["refuse", "rules"] = "refuse"
    neutral: Fraction = 0.80  # holds Gemini's place in the combined confidence when rules decide
    grounding: bool = False  # Google search for news; models from Gemini 3 on
    daily_tokens: Annotated[int, Field(ge=0)] = 400_000
    price_in: NonNegative = 0.30  # USD per million tokens asked with
    price_out: NonNegative = 2.50  # USD per million tokens answered with, thinking included

    @model_validator(mode="after")
    def _searching_model(self) -> Self:
        version = re.search(r"gemini-(\d+)", self.model)
        if self.grounding and version is not None and int(version.group(1)) < 3:
            raise ValueError(
                f"grounding needs a model from Gemini 3 on: {self.model} does not search and answer in JSON at once; "
                "set grounding: false or another model"
            )
        return self


def _listed(value: object) -> object:
    """``CHOPPY+VOLATILE`` or ``none``, as a sweep and the chat write it, beside a list."""
    if isinstance(value, str):
        return () if value == "none" else tuple(value.split("+"))
    return value


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


RefusableRegime = Literal["CHOPPY", "TRENDING", "WEAK_TRENDING", "VOLATILE"]
RefusedRegimes = Annotated[tuple[RefusableRegime, ...], BeforeValidator(_listed), AfterValidator(_once)]


class Strategy(Section):
    adx_min: Annotated[float, Field(ge=0, le=100)] = 25.0
    rsi_long_max: Annotated[float, Field(ge=0, le=100)] = 70.0
    rsi_short_min: Annotated[float, Field(ge=0, le=100)] = 30.0
    volume_ratio_min: NonNegative = 0.75
    refused_regimes: RefusedRegimes = ("CHOPPY",)  # UNKNOWN is refused always
    cooldown_bars: Annotated[int, Field(ge=0)] = 8
    stop_atr: Annotated[float, Field(ge=0.01, le=100)] = 2.0
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
    refused_regimes: tuple[RefusableRegime, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _filters_only(cls, values: object) -> object:
        for key in ("stop_atr", "max_bars", "warmup_bars", "breakeven_after_tp1"):
            if isinstance(values, Mapping) and key in values:
                raise ValueError(f"a variant only chooses among candidates; {key} is the same for all of them")
        return values

    def strategy(self, own: Strategy) -> Strategy:
        """The strategy with this variant's numbers in place of its own."""
        changes = self.model_dump(exclude_none=True)
        if self.refused_regimes is not None:
            changes["refused_regimes"] = _once(self.refused_regimes)
        return own.model_copy(update=changes)

    def differs(self, own: Strategy) -> bool:
        return self.strategy(own) != own


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
    start_balance: Annotated[float, Field(gt=0, le=1e12)] = 10_000.0
    fee_rate: Annotated[float, Field(ge=0, lt=0.1)] = 0.0005  # of notional, per side
    slippage_rate: Annotated[float, Field(ge=0, lt=0.1)] = 0.0005  # of price, per side
    risk_per_trade: Annotated[float, Field(gt=0, le=0.1)] = 0.02
    max_leverage: Positive = 3.0
    exits_between_closes: bool = True  # 1m candles of pairs with an open trade, as they close


class Portfolio(Section):
    max_positions: Annotated[int, Field(ge=1)] = 3
    max_correlated: Annotated[int, Field(ge=1)] = 2
    correlation: Fraction = 0.7
    max_open_risk: Fraction = 0.04
    daily_loss: Annotated[float, Field(gt=0, lt=1)] = 0.05
    drawdown_warn: Annotated[float, Field(gt=0, lt=1)] = 0.15
    drawdown_pause: Annotated[float, Field(gt=0, lt=1)] = 0.20
    loss_streak: Annotated[int, Field(ge=0)] = 0  # losing trades in a row that pause entries; 0: never
    cooldown_hours: Positive = 12.0  # how long

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.drawdown_warn > self.drawdown_pause:
            raise ValueError(f"drawdown_warn {self.drawdown_warn} is more than drawdown_pause {self.drawdown_pause}")
        return self


MOST_TRIALS = 500
"""Settings that one search may try; it runs in every fit of an evaluation."""


class Ml(Section):
    scale: Literal["percentile", "probability"] = "percentile"
    label: Literal["gross", "net"] = "gross"
    features: Literal["v1", "v2"] = "v2"
    model: Literal["xgb", "forest", "logistic"] = "xgb"
    augment: bool = False  # noisy copies of training rows, in training only
    tune_trials: Annotated[int, Field(ge=0, le=MOST_TRIALS)] = 0  # searched settings per fit; 0: the plain ones
    threshold: Fraction = 0.70  # combined confidence that takes a signal
    min_rows: Annotated[int, Field(ge=20)] = 50
    half_life_days: Positive = 180.0
    retrain_after: Annotated[int, Field(ge=1)] = 10  # new live outcomes
    auto_takeover: bool = True  # with weight 0 a clearly better challenger becomes champion unasked
    max_age_days: Annotated[int, Field(ge=1)] = 90  # a champion trained longer ago loses its weight
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


LoudKind = Literal["opened", "closed", "target", "signal", "approval", "fault", "training", "digest"]


def _quiet_hours(text: str) -> str:
    if text and not re.match(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$", text):
        raise ValueError("hours such as 22:00-07:00 are wanted, or an empty text")
    return text


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _daily_at(text: str) -> str:
    if text and not re.match(r"^([01]\d|2[0-3]):[0-5]\d$", text):
        raise ValueError("a time such as 20:00 is wanted, or an empty text")
    return text


def _weekly_at(text: str) -> str:
    lower = text.lower()
    if text and not re.match(rf"^({'|'.join(WEEKDAYS)}) ([01]\d|2[0-3]):[0-5]\d$", lower):
        raise ValueError("a day and a time such as sun 18:00 are wanted, or an empty text")
    return lower


class Notify(Section):
    opened: NoticeLevel = "loud"
    closed: NoticeLevel = "loud"
    target: NoticeLevel = "silent"
    signal: NoticeLevel = "silent"  # a refused signal; a taken one speaks as `opened`
    approval: NoticeLevel = "loud"
    fault: NoticeLevel = "loud"
    training: NoticeLevel = "silent"
    digest: NoticeLevel = "silent"  # the day's and the week's story
    daily_at: Annotated[str, AfterValidator(_daily_at)] = "20:00"  # your time; empty: never
    weekly_at: Annotated[str, AfterValidator(_weekly_at)] = "sun 18:00"
    pinned: bool = True  # one message that always says how things stand, pinned in the alerts' chat
    quiet_hours: Annotated[str, AfterValidator(_quiet_hours)] = ""  # your time, such as 22:00-07:00
    quiet_loud: Annotated[tuple[LoudKind, ...], BeforeValidator(_listed)] = (
        "approval",
        "fault",
    )  # what may ring then all the same


class Health(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] | None = 9464  # /healthz and /metrics; 0: any free one; null: none


class Backup(Section):
    keep: Annotated[int, Field(ge=0)] = 14  # daily copies of the ledger; 0: none


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
    mode: Literal["paper", "advisory", "signals"] = "paper"  # advisory: each trade waits for a yes
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
    health: Health = Health()
    backup: Backup = Backup()

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
        return min(self.ml.bootstrap_days * DAY_MS, MOST_BOOTSTRAP_CANDLES * self.frame.ms)

    def with_pairs(self, pairs: Iterable[Pair]) -> Settings:
        """These settings with other pairs: configured ones keep their risk, and one that is named is switched on."""
        chosen = [{"symbol": str(pair), "risk": self.risk_of(pair)} for pair in pairs]
        return Settings.model_validate({**self.model_dump(), "pairs": chosen})

    def risk_of(self, pair: Pair) -> float:
        """The pair's risk multiplier; 1 for a pair that is not configured."""
        return next((p.risk for p in self.pairs if p.symbol == str(pair)), 1.0)
