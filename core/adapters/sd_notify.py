"""systemd's notify protocol in a few lines: a datagram to the socket that it names. Without one nothing happens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Systemd:
    """``tell("READY=1", "STATUS=...")``. Never raises: a supervisor that is gone must not end the work."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._failing = False
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micro = environ.get("WATCHDOG_USEC", "") if self._address and mine else ""
        self.watchdog_seconds = int(micro) / 1e6 if micro.isascii() and micro.isdigit() and int(micro) else None
        """It wants WATCHDOG=1 at least this often; None where it does not watch."""

    @property
    def present(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is an abstract one: no file, written with a zero byte.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(message.encode(), address)
        except OSError as error:
            if not self._failing:
                log.warning("systemd cannot be told: %s", error.strerror or error)
            self._failing = True
        else:
            self._failing = False
