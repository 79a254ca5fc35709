"""The doctor: a line for each thing, with what to do; against servers on loopback, and with none at all."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
from collections import namedtuple
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import bootstrap
from core.adapters.sqlite_chat import SqliteChat
from core.adapters.sqlite_database import Database
from core.cli import main
from core.config import Settings
from core.domain.candles import Pair, Timeframe
from core.engine.strategy import last_snapshot
from core.services import doctor
from core.services.doctor import Check, together
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import SimClock, wall_now
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.market_sim import MarketSim
from tests.markets import walk

REAL_TIME = 1 / 900  # candles of 15m a second
LINK = Pair.parse("LINK/USDT")
NAMES = ["settings", "data", "database", "backup", "candles", "model", "exchange", "clock", "telegram", "gemini"]
KEY = "a-gemini-key-nobody-may-see"


@dataclass
class World:
    """Loopback servers, a folder, and the doctor's answers."""

    folder: Path
    phone: Phone
    exchange: Exchange
    gemini: Gemini
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    code: int = -1
    said: str = field(default="", repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    async def run(self, *arguments: str) -> str:
        """What the command line prints; its exit code is kept."""
        call = ["doctor", "--config", str(self.folder / "config.yaml"), "--data-dir", str(self.data), *arguments]
        self.code = await asyncio.to_thread(main, call)
        out, err = self.capsys.readouterr()
        self.said = out + err
        return out

    async def checks(self, *arguments: str) -> dict[str, Check]:
        answer = json.loads(await self.run("--json", *arguments))
        found = {row["name"]: Check(**row) for row in answer["checks"]}
        assert answer["ok"] is (self.code == 0) is all(c.state != "FAIL" for c in found.values())
        return found

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)


@pytest.fixture
async def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Everything is well: servers answer, token and key are good, the clock is right."""
    phone, exchange, gemini = Phone(), Exchange(MarketSim(7), SimClock(wall_now(), REAL_TIME)), Gemini()
    servers = (phone, exchange, gemini)
    for server in servers:
        await server.start()
    (tmp_path / "config.yaml").write_text(
        "access: {users: {1001: approver}}\n"
        f"telegram: {{base_url: {phone.base_url}}}\n"
        f"exchange: {{base_url: {exchange.base_url}, rate_limit_ms: 0}}\n"
        f"gemini: {{base_url: {gemini.base_url}, model: gemini-demo}}\n"
    )
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", phone.token)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    yield World(tmp_path, phone, exchange, gemini, capsys, monkeypatch)
    for server in servers:
        await server.stop()


def store_candles(world: World) -> None:
    """Some candles of every pair the doctor asks for."""
    store = bootstrap.candle_store(world.data)
    for pair in (*Settings().traded, Settings().btc):
        store.save(replace(walk(400), pair=pair))


async def make_database(world: World, entries: int = 3) -> Path:
    path = bootstrap.ledger_path(world.data)
    async with Database(path) as db:
        for number in range(entries):
            await SqliteChat(db).audit(number, 1001, "You", "pause", f"entry {number}")
    return path


# All at once.


async def test_when_all_is_well_it_says_so_line_by_line(world: World) -> None:
    store_candles(world)
    await make_database(world)
    lines = (await world.run()).splitlines()

    assert [line[6:].split(":")[0] for line in lines] == NAMES
    assert [line[:6] for line in lines] == ["ok    "] * 3 + ["warn  ", "ok    ", "warn  "] + [
        "ok    "
    ] * 4  # no backup, no model
    assert world.code == 0
    assert "@julaba_demo_bot" in lines[8]


async def test_json_is_one_object_with_the_same_checks(world: World) -> None:
    checks = await world.checks()

    assert list(checks) == NAMES
    assert world.code == 0
    assert world.said.count("\n") == 1


async def test_it_makes_nothing(world: World) -> None:
    await world.checks()

    assert not world.data.exists()


async def test_it_changes_nothing(world: World) -> None:
    await make_database(world)
    store_candles(world)
    before = contents(world.data)
    await world.checks()

    assert contents(world.data) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("trouble", ["", "down", "refused"])
async def test_token_and_key_are_never_shown(world: World, trouble: str) -> None:
    if trouble == "down":
        world.phone.fault("down", times=None)
        await world.gemini.stop()
    if trouble == "refused":
        world.set(TELEGRAM_BOT_TOKEN=world.phone.token[:-1] + "?/#", JULABA__GEMINI__MODEL="gone")
    await world.run("--verbose")

    assert world.phone.token[:-1] not in world.said
    assert KEY not in world.said


async def test_without_any_network_each_line_still_comes(world: World) -> None:
    for server in (world.phone, world.exchange, world.gemini):
        await server.stop()
    checks = await world.checks()

    assert list(checks) == NAMES
    assert {n for n, c in checks.items() if c.state == "FAIL"} == {"exchange", "telegram", "gemini"}
    assert all(checks[n].advice.startswith("check the network") for n in ("exchange", "telegram", "gemini"))
    assert checks["clock"].found == "no exchange to compare with"


async def test_a_broken_settings_file_ends_it_with_2(world: World) -> None:
    (world.folder / "config.yaml").write_text("paper: {fee_rat: 1}")

    assert await world.run() == ""
    assert world.code == 2
    assert world.said.startswith("error: ")
    assert "unknown key paper.fee_rat" in world.said


async def test_a_token_in_the_settings_file_ends_it_with_2_unseen(world: World) -> None:
    (world.folder / "config.yaml").write_text(f"telegram: {{token: '{world.phone.token}'}}")
    await world.run()

    assert world.code == 2
    assert world.phone.token not in world.said


# One line after the other.


async def test_settings_name_their_file_and_what_is_traded(world: World) -> None:
    found = (await world.checks())["settings"].found

    assert f"{world.folder / 'config.yaml'}, 5 pairs on 15m candles, mode paper" in found


async def test_an_empty_access_list_is_warned_about(world: World) -> None:
    world.set(JULABA__ACCESS__USERS="{}")
    check = (await world.checks())["settings"]

    assert (check.state, check.advice) == ("warn", "add your Telegram id to access.users")


async def test_a_data_directory_that_is_a_file_fails(world: World) -> None:
    world.data.write_text("")
    check = (await world.checks())["data"]

    assert check.state == "FAIL"
    assert "--data-dir" in check.advice


async def test_a_data_directory_that_cannot_be_written_fails(world: World) -> None:
    def refuse(**options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    world.monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check = (await world.checks())["data"]

    assert check.found.endswith("cannot be written (Read-only file system)")


@pytest.mark.parametrize(("free", "state"), [(5 * 10**9, "ok"), (5 * 10**8, "warn"), (10**7, "FAIL")])
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, free))

    assert doctor.data_line(tmp_path).state == state


async def test_a_whole_database_is_summed_up(world: World) -> None:
    await make_database(world, entries=3)
    check = (await world.checks())["database"]

    assert check.state == "ok"
    assert check.found.endswith("intact, 0 decisions, 0 trades, an unbroken audit log of 3 entries")


async def test_the_database_can_be_looked_at_while_the_bot_writes(world: World) -> None:
    await make_database(world)
    async with Database(bootstrap.ledger_path(world.data)) as db, db.transaction() as tx:
        await tx.execute("DELETE FROM updates")

        assert (await world.checks())["database"].state == "ok"


async def test_a_changed_audit_entry_is_found(world: World) -> None:
    path = await make_database(world)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE audit SET detail = 'never happened' WHERE entry_id = 2")
    check = (await world.checks())["database"]

    assert check.state == "FAIL"
    assert "entry 2 of the audit log was changed" in check.found


async def test_a_damaged_database_is_found(world: World) -> None:
    path = await make_database(world, entries=200)
    content = bytearray(path.read_bytes())
    content[8192:-4096] = np.random.default_rng(1).bytes(len(content) - 12288)
    path.write_bytes(content)
    check = (await world.checks())["database"]

    assert check.state == "FAIL"
    assert "`julaba restore` a backup" in check.advice


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be looked at" * 20, b""])
async def test_a_file_that_is_no_database_of_ours_is_found(world: World, content: bytes) -> None:
    world.data.mkdir()
    bootstrap.ledger_path(world.data).write_bytes(content)

    assert (await world.checks())["database"].state == "FAIL"


async def test_a_database_of_a_newer_program_is_named(world: World) -> None:
    path = await make_database(world)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")

    assert "version 99" in (await world.checks())["database"].found


async def test_a_database_too_large_to_check_is_a_warning(world: World) -> None:
    path = await make_database(world, entries=1)
    with closing(sqlite3.connect(path)) as db, db:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n"
        db.execute(f"INSERT INTO updates (update_id) {numbers}")

    assert doctor.database_line(path, bootstrap.database_summary, 0.0).state == "warn"


async def test_stored_candles_are_counted_per_pair(world: World) -> None:
    bootstrap.candle_store(world.data).save(walk(400))
    check = (await world.checks())["candles"]

    assert check.state == "warn"
    assert "15m: LINK 400 to 2024-01-05T03:45:00Z, ETH none" in check.found


async def test_a_broken_candle_file_is_named(world: World) -> None:
    store = bootstrap.candle_store(world.data)
    store.save(walk(400))
    store.path(LINK, Timeframe.parse("15m")).write_bytes(b"PAR1 but not really")
    check = (await world.checks())["candles"]

    assert check.state == "FAIL"
    assert "LINKUSDT-15m.parquet is no readable candle file" in check.found


async def test_a_damaged_champion_is_named(world: World) -> None:
    models = world.data / "models"
    models.mkdir(parents=True)
    (models / "champion.json").write_text("{")
    check = (await world.checks())["model"]

    assert check.state == "FAIL"
    assert "champion.json is damaged" in check.found


async def test_a_champion_is_really_loaded() -> None:
    class Kept:
        def champion_id(self) -> str:
            return "v1-20240101"

        def champion(self) -> object:
            return last_snapshot

    assert doctor.model_line(Kept()) == Check("model", "ok", "v1-20240101 loads")


async def test_a_pair_the_exchange_does_not_list_is_named_with_its_successor(world: World) -> None:
    world.set(JULABA__PAIRS="[{symbol: LINK/USDT}, {symbol: MATIC/USDT}]")
    check = (await world.checks())["exchange"]

    assert check.state == "warn"
    assert "MATIC/USDT is not listed by the exchange; its likely successor is POL/USDT" in check.found


async def test_no_pair_at_all_is_a_failure(world: World) -> None:
    for pair in (*Settings().traded, Settings().btc):
        world.exchange.pause_trading(pair)

    assert (await world.checks())["exchange"].state == "FAIL"


@pytest.mark.parametrize("kind", ["html", "null", "error", "rate_limit", "cut"])
async def test_an_exchange_that_answers_nonsense_is_told(world: World, kind: str) -> None:
    world.exchange.fault(kind, method="exchangeInfo", times=None)
    checks = await world.checks()

    assert checks["exchange"].state == "FAIL"
    assert checks["clock"].state == "ok"


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.0, "ok"), (-5.0, "warn"), (5.0, "warn"), (-40.0, "FAIL"), (3600.0, "FAIL")]
)
async def test_the_clock_is_compared_with_the_exchange(world: World, seconds: float, state: str) -> None:
    world.exchange.clock.set(wall_now() + timedelta(seconds=seconds))
    checks = await world.checks()

    assert checks["clock"].state == state
    assert ("ahead of" if seconds < 0 else "behind") in checks["clock"].found or not seconds
    assert " ms from ours" in checks["exchange"].found


async def test_where_the_exchange_is_the_clock_no_offset_is_wrong(world: World) -> None:
    world.exchange.clock.set(datetime(2026, 3, 1, tzinfo=UTC))
    world.set(JULABA__CLOCK="exchange")

    assert (await world.checks())["clock"].state == "ok"


async def test_missing_secrets_are_warnings_with_what_to_do(world: World) -> None:
    world.set(TELEGRAM_BOT_TOKEN="", GEMINI_API_KEY="")
    checks = await world.checks()

    assert world.code == 0
    assert checks["telegram"].state == checks["gemini"].state == "warn"
    assert "@BotFather" in checks["telegram"].advice
    assert ".env" in checks["gemini"].advice


async def test_a_refused_token_fails(world: World) -> None:
    world.set(TELEGRAM_BOT_TOKEN="1:wrong")
    check = (await world.checks())["telegram"]

    assert (check.state, check.found) == ("FAIL", "the token was refused (HTTP 401)")


@pytest.mark.parametrize("kind", ["error", "drop", "rate_limit"])
async def test_a_telegram_in_trouble_fails(world: World, kind: str) -> None:
    world.phone.fault(kind, method="getme", times=None)

    assert (await world.checks())["telegram"].state == "FAIL"


async def test_a_model_that_is_gone_fails_with_the_setting(world: World) -> None:
    world.set(JULABA__GEMINI__MODEL="gemini-1.5-pro")
    check = (await world.checks())["gemini"]

    assert str(check) == "FAIL  gemini: the model gemini-1.5-pro does not exist; set gemini.model"


async def test_a_hanging_server_ends_at_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.checks()  # loading the exchange's client takes its time once
    world.phone.fault("hang", method="getme", times=None, seconds=30)

    async def quick(works: Any) -> list[Check]:
        return await together(works, 2.0)

    monkeypatch.setattr(doctor, "together", quick)
    checks = await world.checks()

    assert checks["telegram"].found == "no answer within 2 s"
    assert checks["exchange"].state == "ok"
