"""Starting and stopping an aiohttp application on loopback, and the checks every such server makes."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from core.errors import JulabaError, UsageError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


class LocalServer:
    """An application on a loopback port; ``base_url`` is set once it listens. After a stop it can start again."""

    def __init__(self, build: Callable[[], web.Application]) -> None:
        self._build = build
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens; port 0 picks a free one. Raises UsageError for an address others can reach or a taken port."""
        if not is_loopback(host):
            raise UsageError(f"{host} can be reached by others; only 127.0.0.1 and localhost are allowed")
        # A hanging request must not hold up the end: the demo stops within two seconds.
        runner = web.AppRunner(self._build(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(f"port {port} cannot be used: {error.strerror}") from error
        self._runner = runner
        self.base_url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stops listening and closes what is open; again is harmless."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@web.middleware
async def local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses foreign names for this machine (DNS rebinding) and requests that another page's script makes."""
    if _host_name(request.headers.get("Host", "")) not in _LOCAL_NAMES:
        return web.Response(status=403, text="this server answers to 127.0.0.1 and localhost only")
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    crossing = request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}
    sends = request.method not in {"GET", "HEAD"} or "Upgrade" in request.headers
    if sends and (foreign or crossing):
        return web.Response(status=403, text="requests from other pages are refused")
    return await handler(request)


def _host_name(header: str) -> str:
    return urlsplit(f"//{header}").hostname or ""


def require(started: str) -> str:
    """The base URL of a server that runs; raises JulabaError before it has started."""
    if not started:
        raise JulabaError("the server has not been started")
    return started
