"""The doctor's single checks: what an answer may be, and that one that hangs keeps no other from its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web

from core import bootstrap
from core.services import doctor
from core.services.doctor import Check, together

KEY = "a-gemini-key-nobody-may-see"


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, {"name": "models/m"}, "ok"),
        (200, None, "FAIL"),
        (200, [], "FAIL"),
        (302, None, "FAIL"),
        (400, {"error": {}}, "FAIL"),
        (403, {}, "FAIL"),
        (429, {}, "warn"),
        (503, None, "FAIL"),
    ],
)
async def test_what_gemini_may_answer(status: int, body: object, state: str) -> None:
    async def get(url: str, headers: Mapping[str, str]) -> tuple[int, object]:
        assert KEY not in url
        assert headers == {"x-goog-api-key": KEY}
        return status, body

    assert (await doctor.gemini_line("http://x", "m", KEY, get)).state == state


@pytest.mark.parametrize("body", [None, [], {}, {"result": None}, {"result": []}, {"result": {"username": 7}}, "text"])
async def test_an_answer_that_is_not_telegrams_is_strange(body: object) -> None:
    async def get(url: str, headers: Mapping[str, str]) -> tuple[int, object]:
        return 200, body

    assert (await doctor.telegram_line("http://x", "1:a", get)).found == "a strange answer (HTTP 200)"


@pytest.mark.parametrize("token", ["1:a b", "1:a\nb", "../x", "1:ä", ""])
async def test_a_strange_token_reaches_no_other_address(token: str) -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.json_response({"ok": False}, status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    check = await doctor.telegram_line(f"http://127.0.0.1:{runner.addresses[0][1]}", token, bootstrap.get_json)
    await runner.cleanup()

    assert check.state == "FAIL"
    assert all(path.startswith("/bot") and path.endswith("/getMe") for path in asked)


async def test_a_check_that_hangs_or_breaks_keeps_no_other_from_its_answer() -> None:
    async def hangs() -> Sequence[Check]:
        await asyncio.sleep(30)
        return []

    async def breaks() -> Sequence[Check]:
        raise RuntimeError("a secret")

    async def well() -> Sequence[Check]:
        return [Check("c", "ok", "fine")]

    works: list[tuple[Sequence[str], Awaitable[Any]]] = [(["a", "a2"], hangs()), (["b"], breaks()), (["c"], well())]
    found = await together(works, 0.05)

    assert [str(check) for check in found] == [
        "FAIL  a: no answer within 0.05 s; try again, then look there",
        "FAIL  a2: no answer within 0.05 s; try again, then look there",
        "FAIL  b: could not be checked (RuntimeError)",
        "ok    c: fine",
    ]
