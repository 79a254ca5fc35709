"""The desk on a real ledger with everything it asks, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from core.adapters.candle_files import CandleFiles
from core.adapters.model_files import ModelFiles
from core.adapters.sqlite_models import SqliteModels
from core.adapters.sqlite_people import SqlitePeople
from core.config import Gate, Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import Candidate, GeminiOpinion
from core.ml.forecast import Forecast, Seen, forecast
from core.ports import Conversation, MarketData
from core.services import research
from core.services.approvals import Approvals
from core.services.bus import Bell
from core.services.champion import ChampionInfo
from core.services.desk import Desk
from core.services.gatekeeper import Gatekeeper
from core.services.live import LiveTrading
from core.services.money import MoneyDesk
from core.services.people import People
from core.services.pictures import Draw
from core.services.prices import Prices
from core.services.proposals import Proposals, auditor
from core.services.registry import Registry
from core.services.research import Research
from core.services.rules import RuleKeeper
from core.services.safety import safety
from core.services.steering import Steering
from core.services.stock import Stockroom
from core.services.stories import Stories
from core.services.success import SuccessDesk
from core.services.takeovers import Takeovers
from core.services.tokens import DayTokens
from core.services.topics import Topics
from core.services.views import Actor, Progress, TrainingView
from core.services.words import Words
from core.services.worth import WorthDesk
from tests.insights import insight_of
from tests.ledgers import Books, Stage, books, market, settings, stores_in
from tests.markets import START
from tests.thrones import inline

FIRST, LAST = 400, 900
LINK, ETH = Pair.parse("LINK/USDT"), Pair.parse("ETH/USDT")
ANN, OLE = Actor(1001, "Ann", "approver"), Actor(1002, "Ole", "operator")
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Thinks:
    """An advisor that answers when it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        self.asked.set()
        await self.let.wait()
        return GeminiOpinion(True, 0.9, "because", (), "test")


@dataclass
class School:
    """Trainings that end as the test says."""

    result: TrainingView = field(default_factory=lambda: trained(None, False))
    champion: ChampionInfo = field(default_factory=lambda: ChampionInfo(None, {}, 31))
    let: asyncio.Event | None = None

    async def train(self, progress: Progress) -> TrainingView:
        progress("history", 0.1)
        if self.let is not None:
            await self.let.wait()
        return self.result


async def _no_outlook() -> Forecast:
    return forecast(Seen(0, 0, 0, 0.0, 3), to_datetime(START), Gate())


def stories_of(config: Settings, stage: Stage, kept: Books, bell: Bell) -> Stories:
    async def zone() -> ZoneInfo:
        return ZoneInfo(config.timezone)

    return Stories(lambda: config, zone, stage.clock, kept.ledger, stage.loop, bell, SqliteModels(kept.db), _no_outlook)


def trained(model_id: str | None, champion: bool) -> TrainingView:
    return TrainingView(
        model_id, champion, "ML learning 31/50" if model_id is None else "it is better", 60, {}, None, 1
    )


@dataclass
class Office:
    desk: Desk
    keeper: Gatekeeper
    stage: Stage
    live: LiveTrading
    kept: Books
    school: School

    async def played(self, last: int = LAST) -> Office:
        await self.stage.play(market(LAST), FIRST, last)
        return self


async def no_gemini() -> str:
    return "off (no key)"


def research_of(config: Settings, stage: Stage, path: Path, live: LiveTrading) -> Research:
    return Research(
        research.Desk(
            settings=config,
            in_force=lambda: stage.loop.in_force,
            clock=stage.clock,
            history=cast(MarketData, None),
            candles=CandleFiles(path),
            stores=stores_in(path),
            save=live.save,
        )
    )


@asynccontextmanager
async def office(
    path: Path,
    row: int = FIRST,
    config: Settings | None = None,
    advisor: Any = None,
    talk: Conversation | None = None,
    prices: Prices | None = None,
    predictor: Any = None,
    draw: Draw = asyncio.to_thread,
) -> AsyncIterator[Office]:
    """Opened at a row, with the history before it. ``predictor`` is asked by people alone, not by the loop."""
    config = config or settings()
    async with books(path) as kept:
        stage = await Stage.begin(kept, row, config, advisor=advisor)
        for candles in market(LAST).values():
            stage.loop.warm(candles.rows(0, row))
        bell, school = Bell(), School()
        nobody = cast(MarketData, None)  # the desk itself asks no exchange
        live = LiveTrading(config, stage.clock, nobody, CandleFiles(path), kept.ledger, stage.loop, bell)
        approvals = Approvals(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell)
        keeper = Gatekeeper(
            config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, lambda: school.champion, approvals
        )
        desk = Desk(
            config,
            stage.clock,
            kept.ledger,
            kept.chat,
            stage.loop,
            live,
            keeper,
            Takeovers(
                config,
                stage.clock,
                stage.loop,
                bell,
                Registry(ModelFiles(path / "models"), SqliteModels(kept.db), stage.clock, inline),
                keeper,
                approvals,
            ),
            train=school.train,
            champion=lambda: school.champion,
            gemini=no_gemini,
            success=SuccessDesk(
                config,
                stage.clock,
                kept.ledger,
                kept.chat,
                bell,
                Stockroom(
                    config, stage.clock, kept.ledger, kept.chat, CandleFiles(path), dict, lambda: "main", draw=draw
                ),
                dict,
                draw,
            ),
            topics=Topics(
                steering=(steering := Steering(config, stage.clock, kept.ledger, stage.loop)),
                safety=safety(config, stage.clock, kept.ledger, kept.chat, stage.loop, live, steering),
                people=People(config, SqlitePeople(kept.db)),
                insight=insight_of(config, stage, kept, path, live, approvals),
                stories=stories_of(config, stage, kept, bell),
                money=MoneyDesk(
                    stage.clock, kept.ledger, stage.loop, lambda: stage.loop.in_force, predictor, prices, draw
                ),
                words=Words(config.gemini, kept.ledger, DayTokens(stage.clock, kept.ledger), talk, lambda: desk),
                research=research_of(config, stage, path, live),
            ),
            worth=WorthDesk(config, stage.clock, kept.ledger, kept.chat, bell, gemini_present=False, draw=draw),
            proposals=Proposals(
                stage.clock,
                kept.ledger,
                kept.chat,
                stage.loop,
                bell,
                RuleKeeper(config, stage.clock, kept.ledger, kept.chat, stage.loop, bell, approvals),
                ModelFiles(path),
                _no_outlook,
                auditor(CandleFiles(path), live.save),
            ),
            prices=prices,
            draw=draw,
        )
        yield Office(desk, keeper, stage, live, kept, school)
