"""Starting and stopping an aiohttp application on loopback, and the checks every such server makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from core.adapters.loopback import REFUSAL, is_asked_locally, is_loopback
from core.errors import UsageError
from julaba_tg.phone.faults import Fault, Faults

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalServer(ABC):
    """An application on a loopback port that can be made to fail. After a stop it can start again.

    ``faults`` hold the trouble asked for; what a server does with them is its own.
    """

    def __init__(self, fault_kinds: frozenset[str]) -> None:
        self.faults = Faults(fault_kinds)
        self._runner: web.AppRunner | None = None
        self._base_url = ""

    @abstractmethod
    def _build(self) -> web.Application:
        """The application, anew for each start."""

    @property
    def base_url(self) -> str:
        """The server root. Raises RuntimeError before the first start."""
        if not self._base_url:
            raise RuntimeError("the server has not been started")
        return self._base_url

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
        self._base_url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stops listening and closes what is open; what the server knows is kept. Again is harmless."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def fault(
        self,
        kind: str,
        *,
        method: str = "*",
        times: int | None = 1,
        seconds: float | None = None,
        status: int = 500,
        retry_after: float = 1,
    ) -> Fault:
        """Makes trouble for the next ``times`` calls of ``method`` (the route's last word), or for ``seconds``.

        Every server knows rate_limit (429 with ``retry_after``), error (``status``), drop (the call is carried out,
        its answer lost), down (nobody answers) and hang (each call waits for ``seconds``); the class says what else.
        Raises ValueError.
        """
        return self.faults.add(
            kind, method=method, times=times, seconds=seconds, status=status, retry_after=retry_after
        )


@web.middleware
async def local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses foreign names for this machine (DNS rebinding) and requests that another page's script makes."""
    if not is_asked_locally(request.headers.get("Host", "")):
        return web.Response(status=403, text=REFUSAL)
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    crossing = request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}
    sends = request.method not in {"GET", "HEAD"} or "Upgrade" in request.headers
    if sends and (foreign or crossing):
        return web.Response(status=403, text="requests from other pages are refused")
    return await handler(request)
