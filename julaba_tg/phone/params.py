"""What came with a Bot API call: values from query, form, multipart or JSON, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.multipart import BodyPartReader

MAX_UPLOAD = 50 * 1024 * 1024


class ApiError(Exception):
    """A refusal: ``{"ok": false, "error_code": ..., "description": ...}``."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        found = {"ok": False, "error_code": self.code, "description": self.description}
        return {**found, "parameters": self.parameters} if self.parameters else found


def bad(description: str) -> ApiError:
    return ApiError(400, f"Bad Request: {description}")


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    mime: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Params:
    """Values by name; every reader raises ApiError for what cannot be read as asked."""

    values: Mapping[str, Any]
    files: Mapping[str, Upload]

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        if value is None:
            return default
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise bad("strings must be encoded in UTF-8") from None
        return text.replace("\x00", "")

    def integer(self, name: str, default: int | None = None) -> int:
        text = self.text(name).strip()
        if not text and default is not None:
            return default
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise bad(f"{name} must be an Integer") if text else bad(f"parameter {name} is required")
        return int(text)

    def flag(self, name: str) -> bool:
        return self.text(name).strip().lower() in {"true", "1", "yes", "t"}

    def structure(self, name: str) -> Any:
        """A JSON value, given as such or as text; None when it is missing."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name.replace('_', ' ')}: JSON object expected") from None

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.structure(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad(f"object expected as {name.replace('_', ' ')}")
        return value


async def read_params(request: web.Request) -> Params:
    """The call's parameters, the body's before the query's. Raises ApiError for a broken or too large body."""
    values: dict[str, Any] = dict(request.query)
    files: dict[str, Upload] = {}
    kind = request.content_type
    if request.method == "POST" and request.can_read_body:
        if kind == "application/json":
            values |= await _json_body(request)
        elif kind == "multipart/form-data":
            await _multipart(request, values, files)
        elif kind == "application/x-www-form-urlencoded":
            values |= {key: str(value) for key, value in (await request.post()).items()}
        else:
            raise bad(f"unsupported content type {kind}")
    return Params(values, files)


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise bad("object expected as request body") from None
    if not isinstance(body, dict):
        raise bad("object expected as request body")
    return body


async def _multipart(request: web.Request, values: dict[str, Any], files: dict[str, Upload]) -> None:
    reader = await request.multipart()
    total = 0
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise bad("nested multipart bodies are not supported")
        content = bytes(await part.read(decode=True))
        total += len(content)
        if total > MAX_UPLOAD:
            raise ApiError(413, "Request Entity Too Large")
        if part.filename is not None:
            mime = part.headers.get("Content-Type", "application/octet-stream")
            files[part.name] = Upload(part.filename, mime, content)
        else:
            values[part.name] = content.decode("utf-8", errors="surrogateescape")
