"""One GET with a short answer, for whoever wants to know whether somebody is there."""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiohttp


async def get_json(url: str, headers: Mapping[str, str]) -> tuple[int, object]:
    """The status and the JSON body, None where the body is no JSON. Proxies of the environment are used.

    Raises ConnectionError in words that never hold the address, for it may hold a token.
    """
    try:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, _json(await response.read())
    except aiohttp.ClientConnectorError as error:
        raise ConnectionError(error.os_error.strerror or "no connection") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ConnectionError(f"the connection broke off ({type(error).__name__})") from None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
