"""systemd's real socket and a real HTTP server: both hear of Julaba while it does its work, and only then."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiohttp import web

from core.adapters.ping import Ping
from core.adapters.sd_notify import Systemd
from core.domain.health import Health, Trouble
from core.errors import SettingsError
from core.secrets import load_secrets
from core.services import supervision
from core.services.supervision import Supervision, summary
from tests.fakes.health import health

DOWN = health(Trouble("degraded", "Telegram cannot be reached."), Trouble("down", "Trading hangs."))


@pytest.fixture(params=["file", "abstract"])
def notified(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """systemd's end of the line, and the name by which it is told to us."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@julaba-test-{os.getpid()}-{id(tmp_path)}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as end:
        end.bind(name if request.param == "file" else f"\0{name[1:]}")
        end.settimeout(5)
        yield end, name


class Looked:
    def __init__(self, view: Health) -> None:
        self.view = view

    async def __call__(self) -> Health:
        return self.view


async def heard(end: socket.socket) -> list[str]:
    return (await asyncio.to_thread(end.recv, 4096)).decode().splitlines()


@asynccontextmanager
async def supervised(
    look: Looked, systemd: Systemd, ping: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[Supervision]:
    watched = Supervision(look, systemd, ping)
    task = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_systemd_hears_ready_a_heartbeat_with_a_status_and_the_end(notified: tuple[socket.socket, str]) -> None:
    end, name = notified
    systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())})
    async with supervised(Looked(health()), systemd) as watched:
        watched.ready()
        assert await heard(end) == ["READY=1"]
        assert await heard(end) == ["WATCHDOG=1", "STATUS=ok"]
        assert await heard(end) == ["WATCHDOG=1", "STATUS=ok"]
    said: list[str] = []
    while "STOPPING=1" not in said:
        said += await heard(end)


async def test_the_heartbeat_stops_while_julaba_is_down_and_goes_on_when_it_is_not(
    notified: tuple[socket.socket, str],
) -> None:
    end, name = notified
    look = Looked(DOWN)
    async with supervised(look, Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000"})):
        for _ in range(3):
            assert await heard(end) == ["STATUS=down: Trading hangs. (+1 more)"]
        look.view = health()
        while (said := await heard(end)) != ["WATCHDOG=1", "STATUS=ok"]:
            assert said == ["STATUS=down: Trading hangs. (+1 more)"]


def test_a_watchdog_meant_for_another_process_is_not_ours(notified: tuple[socket.socket, str]) -> None:
    assert (
        Systemd({"NOTIFY_SOCKET": notified[1], "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    )


async def test_without_systemd_nothing_is_said_and_nothing_runs() -> None:
    systemd = Systemd({})
    systemd.tell("READY=1")
    await asyncio.wait_for(Supervision(Looked(health()), systemd, None).run(), 1)

    assert not systemd.present


def test_a_supervisor_that_is_gone_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        systemd.tell("READY=1")
        systemd.tell("STATUS=ok")

    assert len(caplog.records) == 1


class Elsewhere:
    """The dead man's switch: counts its calls, and answers with ``status``."""

    def __init__(self) -> None:
        self.calls, self.status, self.url = 0, 200, ""

    async def _hear(self, request: web.Request) -> web.Response:
        assert request.path == "/secret-token", "never /fail"
        self.calls += 1
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Elsewhere]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret-token"
            yield self
        finally:
            await runner.cleanup()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


async def test_the_switch_elsewhere_is_called_while_julaba_is_not_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PING_EVERY", 0.01)
    async with Elsewhere().listening() as there, Ping(there.url) as ping:
        look = Looked(health(Trouble("degraded", "ETH/USDT is quarantined.")))
        async with supervised(look, Systemd({}), ping):
            await until(lambda: there.calls >= 3)
            look.view = DOWN
            await asyncio.sleep(0.05)
            calls = there.calls
            await asyncio.sleep(0.1)
            assert there.calls == calls
            look.view = health()
            await until(lambda: there.calls > calls)


async def test_a_ping_that_fails_is_logged_once_and_never_by_its_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with Elsewhere().listening() as there, Ping(there.url, patience=1) as ping:
            there.status = 500
            assert [await ping() for _ in range(3)] == [False] * 3
            there.status = 200
            assert await ping()
            url = there.url
        async with Ping(url, patience=1) as gone:
            assert not await gone()
    ours = [r.getMessage() for r in caplog.records if r.name == "core.adapters.ping"]

    assert ours == [
        "the ping of JULABA_PING_URL failed: HTTP 500",
        "the ping of JULABA_PING_URL is heard again",
        "the ping of JULABA_PING_URL failed: ClientConnectorError",
    ]
    assert "secret-token" not in caplog.text


def test_an_address_that_is_none_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JULABA_PING_URL", "hc.example/secret-token")
    with pytest.raises(SettingsError, match="must be an address") as refused:
        load_secrets(None)

    assert "secret-token" not in str(refused.value)
    monkeypatch.setenv("JULABA_PING_URL", "https://hc.example/secret-token")
    assert "secret-token" not in repr(load_secrets(None))


def test_a_summary_is_the_state_and_the_worst_of_it() -> None:
    assert summary(health()) == "ok"
    assert summary(DOWN) == "down: Trading hangs. (+1 more)"
