"""Files sent by the bot: where they come from in a call, and whether a photo is one the server would take."""

from __future__ import annotations

import re
import struct
from pathlib import PurePosixPath

from julaba_tg.phone.chats import Chats, Media
from julaba_tg.phone.params import Params, Upload, bad

MAX_PHOTO = 10 * 1024 * 1024
MAX_SIDES, MAX_RATIO = 10_000, 20


def attachment(chats: Chats, params: Params, kind: str, reference: str) -> Media:
    """The file a call means: ``attach://name``, an upload under the parameter's own name, or an earlier file_id."""
    known = chats.files.get(reference)
    if known is not None:
        if known.kind != kind:
            raise bad(f"can't use file of type {known.kind.title()} as {kind.title()}")
        return known
    upload = params.files.get(reference.removeprefix("attach://"))
    if upload is None:
        raise bad("wrong file identifier/HTTP URL specified")
    if not upload.content:
        raise bad("file must be non-empty")
    name = safe_name(upload.name)
    if kind == "document":
        return chats.keep_file(kind, name, upload.mime, upload.content)
    return _photo(chats, upload, name)


def _photo(chats: Chats, upload: Upload, name: str) -> Media:
    if len(upload.content) > MAX_PHOTO:
        raise bad("file is too big")
    found = picture(upload.content)
    if found is None:
        raise bad("IMAGE_PROCESS_FAILED")
    mime, width, height = found
    if width + height > MAX_SIDES or max(width, height) > MAX_RATIO * min(width, height):
        raise bad("PHOTO_INVALID_DIMENSIONS")
    return chats.keep_file("photo", name, mime, upload.content, (width, height))


def safe_name(name: str) -> str:
    """A file name without folders and without what a header or a path could trip over."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return re.sub(r"[^\w.()+ -]", "_", last).strip(". ")[:100] or "file"


def picture(content: bytes) -> tuple[str, int, int] | None:
    """Media type, width and height of a PNG or JPEG; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return ("image/png", width, height) if width and height else None
    if content.startswith(b"\xff\xd8"):
        size = _jpeg_size(content)
        return ("image/jpeg", *size) if size else None
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walks the segments to the frame header, which holds the size."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return (width, height) if width and height else None
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return None
