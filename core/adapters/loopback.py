"""Who can reach a server on this machine, and by what name it was asked: no web page may read it by its own."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

REFUSAL = "this server answers to 127.0.0.1 and localhost only\n"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_asked_locally(host_header: str) -> bool:
    """Whether a request's Host is a name of this machine, not one a stranger has pointed at it (DNS rebinding)."""
    return (urlsplit(f"//{host_header}").hostname or "") in {"localhost", "127.0.0.1", "::1"}
