"""GET /healthz for whoever watches this machine, GET /metrics for Prometheus. Read-only, and without a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.adapters.loopback import REFUSAL, is_asked_locally, is_loopback
from core.domain.health import Health

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[Health]]


class HealthServer:
    """``async with HealthServer(host, port, look)``. A port that is taken is one warning: trading goes on without.

    On loopback it answers only to local names, so that no web page can read it through a name of its own.
    """

    def __init__(self, host: str, port: int | None, look: Look) -> None:
        self._host = host
        self._port = port
        self._look = look
        self._runner: web.AppRunner | None = None
        self.address = ""  # such as http://127.0.0.1:9464; empty where nobody listens

    async def __aenter__(self) -> HealthServer:
        if self._port is None:
            return self
        from aiohttp import web

        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            log.warning(
                "no /healthz and no /metrics: %s port %s cannot be used (%s); set health.port, or null for none",
                self._host,
                self._port,
                error.strerror or error,
            )
            return self
        self._runner = runner
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"http://{name}:{runner.addresses[0][1]}"
        log.info("health is told at %s/healthz and /metrics", self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _app(self) -> web.Application:
        from aiohttp import web

        only_local = is_loopback(self._host)

        @web.middleware
        async def guarded(request: web.Request, handler: Any) -> web.StreamResponse:
            if only_local and not is_asked_locally(request.headers.get("Host", "")):
                return web.Response(status=403, text=REFUSAL)
            if request.method not in {"GET", "HEAD"}:
                return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="look, but do not touch\n")
            answer: web.StreamResponse = await handler(request)
            answer.headers["Cache-Control"] = "no-store"
            return answer

        async def healthz(_: web.Request) -> web.StreamResponse:
            health = await self._look()
            body = json.dumps(as_json(health), indent=1)
            status = 503 if health.state == "down" else 200
            return web.Response(status=status, text=f"{body}\n", content_type="application/json")

        async def metrics(_: web.Request) -> web.StreamResponse:
            from core.adapters.health_metrics import CONTENT_TYPE, metrics_text

            return web.Response(body=metrics_text(await self._look()), headers={"Content-Type": CONTENT_TYPE})

        app = web.Application(middlewares=[guarded], client_max_size=1024)
        app.router.add_get("/healthz", healthz)
        app.router.add_get("/metrics", metrics)
        return app


def as_json(health: Health) -> dict[str, Any]:
    """Plain JSON values: the state first, times as ISO text, seconds rounded to the millisecond."""
    shown: dict[str, Any] = _plain({"state": health.state, **asdict(health)})
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return round(value, 3) if isinstance(value, float) else value
