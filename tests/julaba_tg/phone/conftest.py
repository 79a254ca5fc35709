"""The phone with the real Telegram client in front of it, and a small bot for the page."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from telegram.ext import ApplicationBuilder, ExtBot

from julaba_tg.phone.bot_api import Phone


def png(width: int = 4, height: int = 3, shade: int = 90) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\x00" + bytes([shade]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    phone = Phone()
    await phone.start()
    yield phone
    await phone.stop()


@pytest.fixture
async def bot(phone: Phone) -> AsyncIterator[ExtBot[None]]:
    root = phone.base_url
    builder = ApplicationBuilder().token(phone.token).base_url(f"{root}/bot").base_file_url(f"{root}/file/bot")
    bot: ExtBot[None] = builder.updater(None).build().bot
    async with bot:
        yield bot
