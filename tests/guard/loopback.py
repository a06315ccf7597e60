"""Python's own sockets reach loopback and nothing else, in whatever process imports this module.

An audit hook sees every way to connect, to send and to look a name up, and cannot be taken off again.
What is not Python (a Rust client) reads the proxy variables instead, which name a port that refuses.
"""

from __future__ import annotations

import ipaddress
import socket
import sys

ATTEMPTS: list[str] = []
"""What was refused: code under test may have caught the error, and the test must fail all the same."""

_ADDRESSED = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
_NAMED = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}
_OURS = {"", "localhost", socket.gethostname()}


def _here(host: object) -> bool:
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in _OURS:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event in _ADDRESSED:
        address = args[_ADDRESSED[event]]
        if not isinstance(address, tuple) or _here(address[0]):
            return
        host = address[0]
    elif event in _NAMED:
        host = args[_NAMED[event]]
        if _here(host):
            return
    else:
        return
    ATTEMPTS.append(f"{event} {host!r}")
    msg = f"a test tried to reach {host!r} ({event})"
    raise AssertionError(msg)


sys.addaudithook(_watch)
