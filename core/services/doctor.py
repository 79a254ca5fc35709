"""What the doctor looks at: each check gives a line with what it found and what to do about it. Nothing is changed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, iso, to_ms
from core.errors import DataError, MarketError, ModelError, StoreError
from core.ports import CandleStore, Clock, MarketData
from core.services.markets import check_pairs

log = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds for one check
DISK_WARN = 1_000_000_000  # bytes; a database, candles and logs of years fit into less
DISK_FAIL = 100_000_000  # below, a training or a rotation of the log may already fail
CLOCK_WARN_MS = 1_000  # later than exchange.grace: candles would be asked for before they have closed, or late
CLOCK_FAIL_MS = 30_000

BACKUP_OLD_HOURS = 48  # the bot makes one a day

State = Literal["ok", "warn", "FAIL"]
Get = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, object]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One line: ``FAIL  exchange: what was found; what to do``."""

    name: str
    state: State
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state:<4}  {self.name}: {self.found}{'; ' if self.advice else ''}{self.advice}"


async def together(
    works: Iterable[tuple[Sequence[str], Awaitable[Sequence[Check]]]], seconds: float = TIMEOUT
) -> list[Check]:
    """All checks side by side, answers in the order given. Each comes with the names of its lines.

    One that takes longer than ``seconds``, or breaks, is a FAIL of those names and keeps no other from its answer.
    """
    answers = await asyncio.gather(*(_one(names, work, seconds) for names, work in works))
    return [check for answer in answers for check in answer]


async def _one(names: Sequence[str], work: Awaitable[Sequence[Check]], seconds: float) -> Sequence[Check]:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return [Check(name, "FAIL", f"no answer within {seconds:g} s", "try again, then look there") for name in names]
    except Exception as error:  # the edge: a check that breaks must not take the other answers with it
        log.exception("the check of %s broke", names[0])
        return [Check(name, "FAIL", f"could not be checked ({type(error).__name__})") for name in names]


def settings_line(settings: Settings, file: Path | None) -> Check:
    """Settings were read, or there would be nothing to check; an empty access list is what is most often forgotten."""
    source = str(file) if file is not None else "the defaults"
    found = f"{source}, {len(settings.pairs)} pairs on {settings.timeframe} candles, mode {settings.mode}"
    if not settings.access.users:
        return Check("settings", "warn", f"{found}, nobody may command the bot", "add your Telegram id to access.users")
    return Check("settings", "ok", f"{found}, {len(settings.access.users)} in access.users")


def data_line(folder: Path) -> Check:
    """Whether the data directory, or where it will be made, can be written, and how much room there is."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Check("data", "FAIL", f"{folder} cannot be written ({reason})", "make it writable or name --data-dir")
    found = f"{folder} is writable, {free / 1e9:.1f} GB free"
    if free < DISK_WARN:
        return Check("data", "FAIL" if free < DISK_FAIL else "warn", found, "make room")
    return Check(
        "data", "ok", found if place == folder.absolute() else f"{folder} will be made, {free / 1e9:.1f} GB free"
    )


def database_line(path: Path, summary: Callable[[Path, float], str], seconds: float = TIMEOUT - 2) -> Check:
    """Opens, is whole, and its audit log holds together."""
    if not path.exists():
        return Check("database", "ok", "none yet, `julaba run` makes it")
    try:
        return Check("database", "ok", f"{path} is {summary(path, seconds)}")
    except TimeoutError:
        return Check("database", "warn", f"{path} is too large to check within {seconds:g} s")
    except StoreError as error:
        return Check("database", "FAIL", str(error), "stop Julaba, then `julaba restore` a backup")


def backup_line(newest: tuple[Path, datetime] | None, ledger: bool, keep: int, now: datetime) -> Check:
    """How old the newest backup is; the running bot makes one a day."""
    if not ledger:
        return Check("backup", "ok", "nothing to back up yet")
    if newest is None:
        return Check("backup", "warn", "none yet", "`julaba backup` makes one, a running bot one a day")
    path, made_at = newest
    hours = max(0, int((now - made_at).total_seconds() // 3600))
    age = f"{hours // 24} days" if hours >= 2 * 24 else f"{hours} hours"
    found = f"the newest is {path.name}, {age} old"
    if hours < BACKUP_OLD_HOURS:
        return Check("backup", "ok", found)
    advice = "start Julaba or run `julaba backup`" if keep else "backup.keep is 0: run `julaba backup` yourself"
    return Check("backup", "warn", found, advice)


def candles_line(store: CandleStore, pairs: Iterable[Pair], timeframe: Timeframe) -> Check:
    """How many candles of each pair are stored, up to when, and whether they can be trusted."""
    try:
        stored = {pair: store.load(pair, timeframe) for pair in pairs}
    except DataError as error:
        return Check("candles", "FAIL", str(error))
    found = f"{timeframe.name}: " + ", ".join(f"{pair.base} {_held(candles)}" for pair, candles in stored.items())
    if all(len(candles) for candles in stored.values()):
        return Check("candles", "ok", found)
    return Check("candles", "warn", found, "`julaba fetch` or `julaba candles import`; `julaba run` fetches them too")


def _held(candles: Candles) -> str:
    return f"{len(candles):,} to {iso(int(candles.time[-1]))}" if len(candles) else "none"


class Models(Protocol):
    """Where the champion is kept."""

    def champion_id(self) -> str | None: ...

    def champion(self) -> object | None: ...


def model_line(models: Models) -> Check:
    """Whether the champion loads; it is really loaded."""
    try:
        if models.champion() is None:
            return Check("model", "warn", "none yet", "`julaba pipeline` trains one; a running bot does it by itself")
        return Check("model", "ok", f"{models.champion_id()} loads")
    except ModelError as error:
        return Check("model", "FAIL", str(error))


async def exchange_lines(market: MarketData, settings: Settings, clock: Clock) -> list[Check]:
    """Reachable, all pairs listed, and how far this computer's clock is from the exchange's."""
    pairs = tuple(dict.fromkeys((*settings.traded, settings.btc)))
    try:
        offset = await _offset(market, clock)
    except MarketError as error:
        advice = "check the network and exchange.base_url"
        return [Check("exchange", "FAIL", str(error), advice), Check("clock", "warn", "no exchange to compare with")]
    clock_line = _clock_line(offset, settings)
    try:
        problems = check_pairs(await market.markets(), pairs, settings.exchange.renames)
    except MarketError as error:
        return [Check("exchange", "FAIL", str(error), "try again in a few minutes"), clock_line]
    found = f"reachable, its clock is {-offset:+,} ms from ours, "
    if problems:
        state: State = "FAIL" if len(problems) == len(pairs) else "warn"
        listed = f"{len(pairs) - len(problems)} of {len(pairs)} pairs trade: {', '.join(map(str, problems))}"
        return [Check("exchange", state, found + listed, "change `pairs` in the settings"), clock_line]
    return [Check("exchange", "ok", f"{found}all {len(pairs)} pairs trade"), clock_line]


async def _offset(market: MarketData, clock: Clock) -> int:
    """This computer's time less the exchange's, ms; half the way there and back is taken off."""
    await market.server_time()  # the first answer also takes the time of loading the client and connecting
    before = to_ms(clock.now())
    heard = await market.server_time()
    return (before + to_ms(clock.now())) // 2 - heard


def _clock_line(offset: int, settings: Settings) -> Check:
    found = f"this computer is {abs(offset):,} ms {'ahead of' if offset > 0 else 'behind'} the exchange"
    if settings.clock == "exchange":
        return Check("clock", "ok", f"{found}, whose clock is used")
    if abs(offset) > CLOCK_WARN_MS:
        state: State = "FAIL" if abs(offset) > CLOCK_FAIL_MS else "warn"
        return Check("clock", state, found, "let the computer's clock be set by NTP, or set `clock: exchange`")
    return Check("clock", "ok", found)


async def telegram_line(base_url: str, token: str | None, get: Get) -> Check:
    """Whether Telegram knows the bot."""
    if token is None:
        advice = "get one from @BotFather and put it into .env"
        return Check("telegram", "warn", "there is no TELEGRAM_BOT_TOKEN", advice)
    try:
        status, body = await get(f"{base_url}/bot{quote(token, safe=':')}/getMe", {})
    except ConnectionError as error:
        return Check("telegram", "FAIL", f"not reachable ({error})", "check the network and telegram.base_url")
    result = _inner(body, "result")
    if status == 200 and isinstance(name := result.get("username"), str):
        return Check("telegram", "ok", f"the token is good, the bot is @{name[:40]}")
    if status in (401, 404):
        return Check("telegram", "FAIL", f"the token was refused (HTTP {status})", "check TELEGRAM_BOT_TOKEN")
    return Check("telegram", "FAIL", f"a strange answer (HTTP {status})", "try again, or check telegram.base_url")


async def gemini_line(base_url: str, model: str, key: str | None, get: Get) -> Check:
    """Whether Gemini accepts the key and has the model."""
    if key is None:
        advice = "put one into .env if you want its opinion; without, the rules decide"
        return Check("gemini", "warn", "there is no GEMINI_API_KEY", advice)
    name = quote(model.removeprefix("models/"), safe="")
    try:
        status, body = await get(f"{base_url}/v1beta/models/{name}", {"x-goog-api-key": key})
    except ConnectionError as error:
        return Check("gemini", "FAIL", f"not reachable ({error})", "check the network and gemini.base_url")
    if status == 200 and _inner(body, None).get("name"):
        return Check("gemini", "ok", f"the key is good, {model} is there")
    if status == 404:
        return Check("gemini", "FAIL", f"the model {model} does not exist", "set gemini.model")
    if status in (400, 401, 403):
        return Check("gemini", "FAIL", f"the key was refused (HTTP {status})", "check GEMINI_API_KEY")
    if status == 429:
        return Check("gemini", "warn", "the quota is used up", "wait, or raise it")
    return Check("gemini", "FAIL", f"a strange answer (HTTP {status})", "try again, or check gemini.base_url")


def _inner(body: object, key: str | None) -> Mapping[str, object]:
    found = body.get(key) if key is not None and isinstance(body, Mapping) else body
    return found if isinstance(found, Mapping) else {}


async def aside(line: Callable[[], Check]) -> list[Check]:
    """A check that waits for the disk, in a thread."""
    return [await asyncio.to_thread(line)]


async def alone(line: Awaitable[Check]) -> list[Check]:
    """A check of a single line."""
    return [await line]
