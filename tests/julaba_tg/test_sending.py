"""Whether Telegram may have a message: told from how real connections end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from telegram import Bot as TelegramBot
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from julaba_tg.card import card
from julaba_tg.keyboards import home
from julaba_tg.phone.faults import cut
from julaba_tg.sending import Document, Outgoing, perhaps_sent, send
from tests.julaba_tg.conftest import OWNER, World

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def telegram(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def failure(url: str) -> TelegramError:
    bot = TelegramBot("1:x", base_url=f"{url}/bot", request=HTTPXRequest(read_timeout=0.2, connect_timeout=0.5))
    await bot.request.initialize()
    try:
        with pytest.raises(TelegramError) as caught:
            await send(bot, 1001, Outgoing(card("hello")))
    finally:
        await bot.request.shutdown()
    return caught.value


def says(status: int, text: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    return answer


def refuses(status: int, description: str, **parameters: int) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
        return web.json_response(body, status=status)

    return answer


async def closes(request: web.Request) -> web.StreamResponse:
    await request.read()
    return cut(request)


async def cuts_its_answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    return cut(request, [b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", b'{"ok": true'])


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.5)
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "perhaps"),
    [
        (closes, True),
        (cuts_its_answer, True),
        (hangs, True),
        (says(200, "<html>welcome to this hotel's network</html>"), True),
        (says(504, "<html>gateway time-out</html>"), True),
        (says(502, "<html>bad gateway</html>"), False),
        (refuses(500, "Internal Server Error"), False),
        (refuses(429, "Too Many Requests: retry after 3", retry_after=3), False),
        (refuses(400, "Bad Request: chat not found"), False),
        (refuses(403, "Forbidden: bot was blocked by the user"), False),
        (refuses(401, "Unauthorized"), False),
        (refuses(409, "Conflict"), False),
        (refuses(400, "Bad Request: group upgraded", migrate_to_chat_id=-100), False),
    ],
    ids=["closed", "cut", "hang", "html 200", "504", "502", "500", "429", "400", "403", "401", "409", "migrated"],
)
async def test_only_an_answer_says_that_nothing_was_sent(answer: Answer, perhaps: bool) -> None:
    async with telegram(answer) as url:
        error = await failure(url)

    assert perhaps_sent(error) == perhaps


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert not perhaps_sent(await failure(f"http://127.0.0.1:{port}"))


async def test_buttons_that_telegram_refuses_do_not_keep_the_words_back() -> None:
    async def picky(request: web.Request) -> web.Response:
        if "reply_markup" in await request.post():
            return web.json_response(
                {"ok": False, "error_code": 400, "description": "Bad Request: BUTTON_DATA_INVALID"}, status=400
            )
        chat = {"id": 1001, "type": "private"}
        return web.json_response({"ok": True, "result": {"message_id": 5, "date": 1, "chat": chat, "text": "hello"}})

    async with telegram(picky) as url:
        bot = TelegramBot("1:x", base_url=f"{url}/bot")
        await bot.request.initialize()
        sent = await send(bot, 1001, Outgoing(card("hello"), home()))
        await bot.request.shutdown()

    assert sent.message_id == 5


async def test_a_file_goes_out_with_its_name_its_words_and_its_buttons(world: World) -> None:
    async with TelegramBot(world.phone.token, base_url=f"{world.phone.base_url}/bot") as bot:
        world.phone.say(OWNER, "/start")
        file = Document("signals.csv", b"a,b\n1,2\n")
        sent = await send(bot, OWNER, Outgoing(card("2 signals", "as CSV"), home(), document=file))

    (message,) = [m for m in world.phone.messages(OWNER) if m.message_id == sent.message_id]
    assert message.media is not None
    assert (message.media.kind, message.media.name, message.media.content) == ("document", "signals.csv", file.content)
    assert message.text == "2 signals\nas CSV"
    assert message.buttons


async def test_a_file_that_telegram_refuses_leaves_its_words(world: World) -> None:
    async with TelegramBot(world.phone.token, base_url=f"{world.phone.base_url}/bot") as bot:
        world.phone.say(OWNER, "/start")
        sent = await send(bot, OWNER, Outgoing(card("2 signals"), document=Document("signals.csv", b"")))

    (message,) = [m for m in world.phone.messages(OWNER) if m.message_id == sent.message_id]
    assert (message.media, message.text) == (None, "2 signals")
