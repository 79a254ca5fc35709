"""``julaba demo``: the whole of Julaba on this machine alone, with a simulated exchange and a phone page."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from tqdm import tqdm

from core import bootstrap
from core.cli import Context, say
from core.cli.options import positive_int
from core.config import Settings
from core.config_file import section_from
from core.domain.candles import DAY_MS, Pair, Timeframe, to_datetime
from core.errors import UsageError
from core.secrets import Secrets
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import CandleSource, Exchange, StoredSource
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.market_sim import MarketSim
from julaba_tg.phone.price_stream import PriceFeed
from julaba_tg.running import Stop, log_to_file, run_julaba

HISTORY_DAYS = 240
START = datetime(2026, 3, 2, 5, 0, tzinfo=UTC)
SEED = 246  # from START on, its first signal comes after 10 s and then one every 5 to 25 s, at 4 candles a second
STAND_IN = "rule-based stand-in"
MARKER = ".julaba-demo"
LEAD = 1.5  # candles the exchange may be beyond the last close the bot has handled
PATIENCE = 10.0  # seconds of waiting for one close; stored candles may have a gap in which none comes


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="the page's port; 0 picks a free one")
    parser.add_argument("--speed", type=float, default=4.0, metavar="X", help="candles a second (default 4)")
    parser.add_argument(
        "--seed", type=positive_int, default=SEED, metavar="N", help="another market with another number"
    )
    parser.add_argument(
        "--mode",
        choices=get_args(Settings.model_fields["mode"].annotation),
        default="paper",
        help="advisory: you say yes",
    )
    parser.add_argument("--simulated", action="store_true", help="simulate even where candles are stored")


def demo(args: argparse.Namespace, context: Context) -> int:
    if not 0 < args.speed <= 50:
        raise UsageError(f"--speed {args.speed:g} is not between 0 and 50 candles a second")
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port} is not a port")
    folder = context.data_dir / "demo"
    _begin_anew(folder)
    log_to_file(folder)
    world = _stored_world(context.data_dir, args.speed) if not args.simulated else None
    return asyncio.run(_show(world or _simulated_world(args.seed, args.speed), folder, args.port, args.mode))


def _begin_anew(folder: Path) -> None:
    """Each showing starts from nothing; only a folder that an earlier showing made is removed."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"{folder} was not made by the demo; move it away or name another --data-dir")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


@dataclass(frozen=True)
class World:
    """What the exchange shows: candles, pairs to trade, a clock, and how many days lie before its start."""

    source: CandleSource
    pairs: tuple[Pair, ...]
    clock: SimClock
    days: int
    words: str


def _simulated_world(seed: int, speed: float) -> World:
    source = MarketSim(seed)
    pairs = tuple(p for p in source.pairs() if p.base != "BTC")
    return World(source, pairs, SimClock(START, speed), HISTORY_DAYS, f"a simulated market (seed {seed})")


def _stored_world(data_dir: Path, speed: float) -> World | None:
    """Stored 15m candles played again from where enough history lies before them; None where there are too few."""
    frame = Timeframe.parse("15m")
    store = bootstrap.candle_store(data_dir)
    stored = {pair: store.load(pair, frame) for pair in store.pairs(frame)}
    pairs = tuple(p for p, c in stored.items() if p.base != "BTC" and len(c) > 10_000)
    if not pairs:
        return None
    first = max(int(stored[p].time[0]) for p in pairs)
    last = min(int(stored[p].time[-1]) for p in pairs)
    days = min(HISTORY_DAYS, (last - first) * 2 // 3 // DAY_MS)
    if days < 30:
        return None
    begin = to_datetime(first) + timedelta(days=days)
    words = f"stored candles of {', '.join(p.base for p in pairs)} from {begin:%d %b %Y}"
    return World(StoredSource(store, frame), pairs, SimClock(begin, speed), days, words)


def _settings(world: World, mode: str, exchange: str, stream: str, telegram: str, gemini: str) -> Settings:
    defaults = {p.symbol: p.risk for p in Settings().pairs}
    order = [*defaults, *(str(p) for p in world.pairs if str(p) not in defaults)]
    pairs = [symbol for symbol in order if Pair.parse(symbol) in world.pairs]
    return Settings.model_validate(
        {
            "pairs": [{"symbol": p, "risk": defaults.get(p, 0.7)} for p in pairs[:5]],
            "mode": mode,
            "clock": "exchange",
            "access": {"users": {1001: "approver", 1002: "viewer"}},
            "telegram": {"base_url": telegram, "poll_timeout": 5},
            "exchange": {"base_url": exchange, "websocket_url": stream, "rate_limit_ms": 0, "grace": 0},
            "gemini": {"base_url": gemini, "model": "gemini-demo"},
            "ml": {"bootstrap_days": world.days},
            # Any free port: a demo must not take the one of a bot that runs beside it.
            "health": {"port": 0} | section_from(os.environ, "health"),
        }
    )


@asynccontextmanager
async def _serving(world: World, port: int) -> AsyncIterator[tuple[Phone, Exchange, PriceFeed, Gemini]]:
    phone, gemini = Phone(), Gemini()
    exchange, feed = Exchange(world.source, world.clock), PriceFeed(world.source, world.clock)
    await phone.start(port=port)
    try:
        await exchange.start()
        await feed.start()
        await gemini.start()
        yield phone, exchange, feed, gemini
    finally:
        await gemini.stop()
        await feed.stop()
        await exchange.stop()
        await phone.stop()


async def _show(world: World, folder: Path, port: int, mode: str) -> int:
    stop = Stop()
    stop.listen()
    world.clock.pause()  # until the bot is ready, so that a showing begins alike on any machine
    async with _serving(world, port) as (phone, exchange, feed, gemini):
        say(f"the exchange shows {world.words}; {world.clock.candles_per_second:g} candles a second")
        settings = _settings(world, mode, exchange.base_url, feed.url, phone.base_url, gemini.base_url)
        secrets = Secrets.model_construct(
            telegram_bot_token=SecretStr(phone.token), gemini_api_key=SecretStr("the-stand-in-needs-none")
        )
        header = asyncio.create_task(_tell_time(phone, world.clock))
        with tqdm(total=100, desc="learning from history", bar_format="{desc} {bar} {percentage:3.0f}%") as bar:

            def progress(text: str, done: float) -> None:
                bar.set_description_str(f"learning from history: {text}", refresh=False)
                bar.update(100 * done - bar.n)

            async def ready() -> None:
                print(f"ready {phone.base_url} (open it; Ctrl-C ends the demo)", flush=True)

            try:
                await run_julaba(
                    settings,
                    secrets,
                    phone.token,
                    folder,
                    stop,
                    ready,
                    beside=lambda engine: keep_in_step(world.clock, lambda: engine.live.last_close),
                    progress=progress,
                    gemini_note=f"{STAND_IN} (demo)",
                )
            finally:
                header.cancel()
    return stop.code


async def keep_in_step(clock: SimClock, handled: Callable[[], int | None]) -> None:
    """Time goes on from here, but never ``LEAD`` beyond what the bot has handled: a busy machine misses no signal.

    ``handled`` gives the newest close the bot has dealt with (epoch ms). Runs until cancelled.
    """
    known, waited = clock.now_ms(), 0.0
    period = min(0.02, 0.1 / clock.candles_per_second)
    while True:
        newest = handled() or 0
        if newest > known:
            known, waited = newest, 0.0
        clock.run_until(known + LEAD * clock.timeframe.ms if waited < PATIENCE else None)
        if clock.paused:
            clock.resume()
        await asyncio.sleep(period)
        if clock.stands:
            waited += period


async def _tell_time(phone: Phone, clock: SimClock) -> None:
    """The page's header: simulated time and speed."""
    while True:
        phone.set_header(f"{clock.now():%a %d %b %Y %H:%M} UTC · {clock.candles_per_second:g} candles/s")
        await asyncio.sleep(0.5)
