"""Puts the running bot together, a topic at a time; ``core.bootstrap`` opens what lies outside and hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from core.config import Settings
from core.domain.candles import Pair
from core.ml.forecast import Forecast
from core.ports import (
    CandleStore,
    ChampionBook,
    ChatStore,
    Clock,
    Conversation,
    Ledger,
    MarketData,
    OpinionBook,
    OpinionSource,
    PriceStream,
)
from core.services.added import MOST_PAIRS
from core.services.added_pairs import AddedPairs
from core.services.advice import Advice
from core.services.advisory import TradeQuestions
from core.services.approvals import Approvals
from core.services.backups import Backups, BackupStore
from core.services.bus import Bell
from core.services.champion import ChampionFiles, ChampionInfo, champion_reader
from core.services.desk import Desk
from core.services.drift_watch import DriftWatch, in_a_worker
from core.services.engine import Engine
from core.services.feed import ExchangeLower
from core.services.filter_desk import FilterDesk
from core.services.gatekeeper import Gatekeeper
from core.services.insight import Insight
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from core.services.manual import Hands
from core.services.minutes import ExchangeMinutes, MinuteWatch
from core.services.money import MoneyDesk
from core.services.nightly import Nightly, in_a_process
from core.services.outbox import Outbox
from core.services.outlook import OutlookDesk
from core.services.people import People, WishStore
from core.services.pictures import Draw, Pictures
from core.services.predict import ChampionPredictor
from core.services.prices import Prices
from core.services.proposals import Proposals, auditor
from core.services.reading import Stores
from core.services.registry import ModelShelf, Registry
from core.services.research import Desk as ResearchDesk
from core.services.research import Research
from core.services.retrain import Trainer
from core.services.rules import RuleKeeper
from core.services.safety import safety
from core.services.steering import Steering
from core.services.stock import Stockroom
from core.services.stories import Stories, owner_zone
from core.services.success import SuccessDesk
from core.services.supervision import Supervision, Supervisor
from core.services.takeovers import Takeovers
from core.services.tokens import DayTokens
from core.services.topics import Topics
from core.services.train import Models
from core.services.views import Progress
from core.services.whynot import WhyNotDesk
from core.services.words import Words
from core.services.words_tools import Views
from core.services.worker import Worker
from core.services.worth import WorthDesk


class ModelStore(ModelShelf, ChampionFiles, Models, Protocol):
    """The models on disk, as all who use them want them."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the bot stands on, opened and ready; whoever made it closes it.

    Three clients of one exchange: a long ``history`` must not stand in line before the next close's candles, nor may
    whoever looks at ``quotes``. ``advisor`` and ``conversation`` None: no key. ``stream`` None: prices are only asked
    for. ``stores`` opens the ledger once more, for reading it in another process. ``added`` are those of the settings'
    pairs that came from the chat.
    """

    settings: Settings
    clock: Clock
    ledger: Ledger
    chat: ChatStore
    stores: Stores
    champions: ChampionBook
    opinions: OpinionBook
    people: WishStore
    candles: CandleStore
    models: ModelStore
    backups: BackupStore
    exchange: MarketData
    history: MarketData
    quotes: MarketData
    stream: PriceStream | None
    advisor: OpinionSource | None
    conversation: Conversation | None
    worker: Worker
    supervisor: Supervisor
    added: tuple[Pair, ...]
    ping: Callable[[], Awaitable[bool]] | None
    tidy: Callable[[], Awaitable[None]]


def assemble(outside: Outside, progress: Progress, gemini_note: str) -> Engine:
    """Nothing runs until ``Engine.run``. ``gemini_note`` stands in the status in place of Gemini's own name."""
    settings, clock, ledger, bell = outside.settings, outside.clock, outside.ledger, Bell()
    trading = _trading(outside, bell, gemini_note)
    loop, live = trading.loop, trading.live
    pictures = Pictures(outside.worker.run)
    judging = _judging(outside, trading, bell, pictures.draw)
    counsel = _counsel(outside, trading, judging, bell, pictures.draw)
    prices, again = Prices(trading.held, outside.quotes, outside.stream), asyncio.Event()
    desk = Desk(
        settings,
        clock,
        ledger,
        outside.chat,
        loop,
        live,
        judging.gatekeeper,
        judging.takeovers,
        train=trading.trainer.train,
        champion=trading.champion,
        gemini=trading.advice.standing if trading.advice else _nobody(gemini_note),
        worth=counsel.worth,
        success=counsel.success,
        proposals=counsel.proposals,
        topics=_topics(outside, trading, counsel, bell, pictures.draw, prices, lambda: desk, again.set),
        prices=prices,
        hands=Hands(settings, clock, outside.exchange, ledger, loop),
        draw=pictures.draw,
    )
    backups = Backups(settings, clock, ledger, live.faults, outside.backups)
    nightly = Nightly(clock, ledger, loop, bell, live.watched, live.save, in_a_process(outside.candles))
    supervision = Supervision(desk.health, outside.supervisor, outside.ping)
    return Engine(
        settings=settings,
        clock=clock,
        ledger=ledger,
        desk=desk,
        outbox=Outbox(outside.chat, bell),
        live=live,
        gatekeeper=judging.gatekeeper,
        takeovers=judging.takeovers,
        champion=trading.champion,
        bell=bell,
        progress=progress,
        reviews=(
            backups.review,
            *counsel.reviews,
            nightly.review,
            desk.topics.safety.audit.review,
            desk.topics.stories.review,
            outside.tidy,
        ),
        beside=(
            MinuteWatch(settings, clock, outside.exchange, loop).run,
            prices.run,
            judging.approvals.run,
            desk.watch.run,
            supervision.run,
            pictures.warm,
            desk.topics.insight.run,
        ),
        announce=supervision.ready,
        again=again,
    )


@dataclass(frozen=True, slots=True)
class _Trading:
    """The loop on the exchange's candles with whom it asks: Gemini, and the model with its trainer."""

    loop: TradingLoop
    live: LiveTrading
    advice: Advice | None
    tokens: DayTokens
    trainer: Trainer
    champion: Callable[[], ChampionInfo]
    predictor: ChampionPredictor

    def in_force(self) -> Settings:
        return self.loop.in_force

    def held(self) -> list[Pair]:
        """The pairs with an open trade."""
        return [position.pair for position in self.loop.account.positions] if self.live.ready.is_set() else []


def _trading(outside: Outside, bell: Bell, gemini_note: str) -> _Trading:
    settings, clock, ledger, exchange = outside.settings, outside.clock, outside.ledger, outside.exchange
    advice, tokens = None, DayTokens(clock, ledger)
    if outside.advisor is not None:
        advice = Advice(
            settings.gemini,
            clock,
            ledger,
            outside.opinions,
            outside.advisor,
            bell,
            lambda: live.faults,
            gemini_note,
            tokens,
        )
    predictor = ChampionPredictor(
        outside.worker, outside.models, lambda: f"learning {trainer.rows}/{settings.ml.min_rows}"
    )
    loop = TradingLoop(
        settings,
        clock,
        ledger,
        advisor=advice,
        predictor=predictor,
        lower=ExchangeLower(exchange),
        minutes=ExchangeMinutes(exchange, clock),
        bell=bell,
    )
    live = LiveTrading(settings, clock, exchange, outside.candles, ledger, loop, bell)
    trainer = Trainer(
        settings,
        clock,
        outside.history,
        outside.candles,
        outside.stores,
        outside.models,
        live.save,
        in_force=lambda: loop.in_force,
    )
    read = champion_reader(outside.models)
    return _Trading(loop, live, advice, tokens, trainer, lambda: read(trainer.rows), predictor)


@dataclass(frozen=True, slots=True)
class _Judging:
    """Whether the model may decide, which one, and what an approver is asked about it."""

    approvals: Approvals
    gatekeeper: Gatekeeper
    takeovers: Takeovers


def _judging(outside: Outside, trading: _Trading, bell: Bell, draw: Draw) -> _Judging:
    settings, clock, ledger, chat = outside.settings, outside.clock, outside.ledger, outside.chat
    loop = trading.loop
    approvals = Approvals(settings, clock, ledger, chat, loop, bell)
    TradeQuestions(settings, clock, outside.exchange, loop, approvals)
    compare = in_a_worker(outside.candles, outside.models, trading.in_force)
    drift = DriftWatch(clock, ledger, chat, lambda: loop.memory.book.next_decision_id, compare)
    gatekeeper = Gatekeeper(
        settings, clock, ledger, chat, loop, bell, trading.champion, approvals, outside.champions, drift, draw
    )
    registry = Registry(outside.models, outside.champions, clock, outside.worker.run)
    takeovers = Takeovers(settings, clock, loop, bell, registry, gatekeeper, approvals)
    return _Judging(approvals, gatekeeper, takeovers)


@dataclass(frozen=True, slots=True)
class _Counsel:
    """What the layers and the whole were worth so far, and which rule could be changed."""

    worth: WorthDesk
    success: SuccessDesk
    proposals: Proposals

    @property
    def reviews(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return self.worth.review, self.success.review, self.proposals.review


def _counsel(outside: Outside, trading: _Trading, judging: _Judging, bell: Bell, draw: Draw) -> _Counsel:
    settings, clock, ledger, chat = outside.settings, outside.clock, outside.ledger, outside.chat
    loop, candles = trading.loop, outside.candles
    stockroom = Stockroom(
        settings,
        clock,
        ledger,
        chat,
        candles,
        lambda: trading.champion().metrics,
        lambda: loop.memory.controls.line,
        in_force=trading.in_force,
        draw=draw,
    )

    async def outlook() -> Forecast:
        return (await stockroom.stock()).forecast

    rules = RuleKeeper(settings, clock, ledger, chat, loop, bell, judging.approvals)
    audit = auditor(candles, trading.live.save)
    return _Counsel(
        WorthDesk(
            settings, clock, ledger, chat, bell, gemini_present=outside.advisor is not None, rules=rules, draw=draw
        ),
        SuccessDesk(settings, clock, ledger, chat, bell, stockroom, lambda: trading.champion().metrics, draw),
        Proposals(clock, ledger, chat, loop, bell, rules, outside.models, outlook, audit),
    )


def _topics(
    outside: Outside,
    trading: _Trading,
    counsel: _Counsel,
    bell: Bell,
    draw: Draw,
    prices: Prices,
    desk: Callable[[], Views],
    again: Callable[[], None],
) -> Topics:
    settings, clock, ledger = outside.settings, outside.clock, outside.ledger
    steering, people = Steering(settings, clock, ledger, trading.loop), People(settings, outside.people)
    return Topics(
        steering=steering,
        safety=safety(settings, clock, ledger, outside.chat, trading.loop, trading.live, steering),
        people=people,
        insight=_insight(outside, trading, counsel, bell, again),
        stories=_stories(outside, trading, counsel, steering, people, bell),
        money=MoneyDesk(clock, ledger, trading.loop, lambda: steering.settings, trading.predictor, prices, draw),
        words=Words(settings.gemini, ledger, trading.tokens, outside.conversation, desk),
        research=_research(outside, trading),
    )


def _research(outside: Outside, trading: _Trading) -> Research:
    return Research(
        ResearchDesk(
            settings=outside.settings,
            in_force=trading.in_force,
            clock=outside.clock,
            history=outside.history,
            candles=outside.candles,
            stores=outside.stores,
            save=trading.live.save,
        )
    )


def _stories(
    outside: Outside, trading: _Trading, counsel: _Counsel, steering: Steering, people: People, bell: Bell
) -> Stories:
    async def ahead() -> Forecast:
        return (await counsel.success.stockroom.stock()).forecast

    zone = owner_zone(outside.settings, people)
    return Stories(
        lambda: steering.settings, zone, outside.clock, outside.ledger, trading.loop, bell, outside.champions, ahead
    )


def _insight(outside: Outside, trading: _Trading, counsel: _Counsel, bell: Bell, again: Callable[[], None]) -> Insight:
    settings, clock, ledger, loop, live = outside.settings, outside.clock, outside.ledger, trading.loop, trading.live
    lower, gemini, stock = ExchangeLower(outside.quotes), outside.advisor is not None, counsel.success.stockroom.stock
    return Insight(
        OutlookDesk(clock, ledger, loop, stock, MOST_PAIRS),
        WhyNotDesk(settings, ledger, loop, live.note, lower, gemini),
        FilterDesk(clock, ledger, loop, outside.candles, live.save),
        AddedPairs(settings, outside.added, clock, ledger, loop, outside.quotes, stock, bell, again, live.ready.wait),
        counsel.proposals.rules,
    )


def _nobody(note: str) -> Callable[[], Awaitable[str]]:
    """What the status says of Gemini where there is no key."""

    async def standing() -> str:
        return note or "off (no key)"

    return standing
