"""A dead man's switch: a service elsewhere is called every minute, and raises the alarm when the calls stay away."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds


class Ping:
    """``async with Ping(url)``, then ``await ping()``. The address is a secret: whoever knows it can silence the alarm.

    A call that fails is logged once, without the address, and once when it works again.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self._url = url
        self._patience = patience
        self._failing = False

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._patience)
        self._session = aiohttp.ClientSession(trust_env=True, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def __call__(self) -> bool:
        """Whether it was heard. Never raises."""
        import aiohttp

        try:
            async with self._session.get(self._url) as answer:
                reason = "" if answer.status < 400 else f"HTTP {answer.status}"
        except TimeoutError:
            reason = f"no answer within {self._patience:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = type(error).__name__  # its text would hold the address
        if reason and not self._failing:
            log.warning("the ping of JULABA_PING_URL failed: %s", reason)
        if not reason and self._failing:
            log.warning("the ping of JULABA_PING_URL is heard again")
        self._failing = bool(reason)
        return not reason
