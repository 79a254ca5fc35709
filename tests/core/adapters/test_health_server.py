"""/healthz and /metrics over real HTTP: readable by whoever watches this machine, and by nobody else."""

from __future__ import annotations

import json
import logging
import re
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.adapters.health_server import HealthServer
from core.domain.health import Health, Trouble
from tests.fakes.health import health

SLOW = Trouble("degraded", "ETH/USDT: no candle since 21 Nov 11:15 UTC.")
STUCK = Trouble("down", "The database takes no commit; see the log.")


class Served:
    """The server, and what it looks at."""

    def __init__(self, view: Health) -> None:
        self.view = view

    async def look(self) -> Health:
        return self.view

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, Any]:
        async with (
            HealthServer("127.0.0.1", 0, self.look) as server,
            aiohttp.ClientSession() as session,
            session.request(method, f"{server.address}{path}", headers=headers) as answer,
        ):
            return answer.status, await answer.text(), answer


@pytest.mark.parametrize(
    ("troubles", "status", "state"),
    [((), 200, "ok"), ((SLOW,), 200, "degraded"), ((SLOW, STUCK), 503, "down")],
)
async def test_healthz_is_503_only_when_it_is_down(troubles: tuple[Trouble, ...], status: int, state: str) -> None:
    code, body, answer = await Served(health(*troubles)).get("/healthz")

    shown = json.loads(body)
    assert (code, shown["state"], answer.content_type) == (status, state, "application/json")
    assert [t["sentence"] for t in shown["troubles"]] == [t.sentence for t in troubles]
    assert shown["trading"]["last_close"] == "2026-11-21T12:00:00Z"


async def test_metrics_are_prometheus_text_that_its_own_parser_reads() -> None:
    code, body, answer = await Served(health(SLOW, quarantined="HTTP 503")).get("/metrics")
    samples = {(s.name, *s.labels.values()): s.value for f in text_string_to_metric_families(body) for s in f.samples}

    assert code == 200
    assert answer.content_type == "text/plain"
    assert samples[("julaba_state", "degraded")] == 1
    assert samples[("julaba_state", "ok")] == 0
    assert samples[("julaba_candle_age_seconds", "ETH/USDT")] == 2720
    assert samples[("julaba_pair_quarantined", "ETH/USDT")] == 1
    assert samples[("julaba_pair_quarantined", "LINK/USDT")] == 0
    assert samples[("julaba_equity_usdt",)] == 10_120.5
    assert samples[("julaba_clock_offset_seconds",)] == -0.4
    assert samples[("julaba_resident_memory_bytes",)] == 212_000_000


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_a_page_that_reaches_it_by_a_name_of_its_own_is_refused(path: str) -> None:
    code, body, _ = await Served(health()).get(path, Host="evil.example:9464")

    assert code == 403
    assert "julaba_" not in body
    assert "equity" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_it_can_be_looked_at_and_not_touched(method: str) -> None:
    assert (await Served(health()).get("/healthz", method))[0] == 405


async def test_another_path_is_not_found() -> None:
    assert (await Served(health()).get("/"))[0] == 404


async def test_a_port_that_is_taken_is_one_warning_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.WARNING):
            async with HealthServer("127.0.0.1", port, Served(health()).look) as server:
                assert server.address == ""

    assert [r.getMessage() for r in caplog.records if f"port {port} cannot be used" in r.getMessage()]
    assert len(caplog.records) == 1


async def test_without_a_port_nobody_listens() -> None:
    async with HealthServer("127.0.0.1", None, Served(health()).look) as server:
        assert server.address == ""


async def test_the_docs_list_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "health.md").read_text(encoding="utf-8")
    _, body, _ = await Served(health()).get("/metrics")
    told = {line.split("{")[0].split(" ")[0] for line in body.splitlines() if not line.startswith("#")}

    assert set(re.findall(r"^\| `(julaba_\w+)", page, re.MULTILINE)) == told
