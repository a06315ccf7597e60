"""No test reaches beyond loopback: neither Python, nor a Rust client, nor a child process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import ConnectError

NOWHERE = "192.0.2.1"  # reserved for documentation (RFC 5737): nobody answers there


def _udp(send):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        send(one)


def _tcp(call):
    with socket.socket() as one:
        one.settimeout(2)
        call(one)


WAYS = {
    "connect": lambda: _tcp(lambda one: one.connect((NOWHERE, 80))),
    "connect_ex": lambda: _tcp(lambda one: one.connect_ex((NOWHERE, 80))),
    "create_connection": lambda: socket.create_connection((NOWHERE, 80), timeout=2),
    "sendto": lambda: _udp(lambda one: one.sendto(b"x", (NOWHERE, 53))),
    "getaddrinfo": lambda: socket.getaddrinfo("example.invalid", 443),
    "gethostbyname": lambda: socket.gethostbyname("example.invalid"),
    "asyncio": lambda: asyncio.run(asyncio.open_connection("example.invalid", 443)),
}
if hasattr(socket.socket, "sendmsg"):  # Windows has none
    WAYS["sendmsg"] = lambda: _udp(lambda one: one.sendmsg([b"x"], [], 0, (NOWHERE, 53)))


@pytest.mark.parametrize("way", WAYS)
def test_python_is_refused_on_every_way_out(way, reached):
    """Before a packet leaves, and noted even where the error is caught."""
    with pytest.raises(AssertionError, match="a test tried to reach"):
        WAYS[way]()
    assert reached
    reached.clear()


def test_loopback_is_free():
    """By address, by name and to itself."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1])).close()


@pytest.mark.parametrize("url", [f"http://{NOWHERE}/v1", "https://example.invalid/v1"])
def test_the_rust_client_meets_a_proxy_that_refuses(url):
    """It does not ask Python for its sockets; it does read the proxy variables.

    Without a proxy, the causes would end with a name that is not found, or nothing in time.
    """

    async def ask():
        async with ClientBuilder().connect_timeout(timedelta(seconds=5)).build() as client:
            await client.post(url).body_bytes(b"{}").build().send()

    with pytest.raises(ConnectError) as caught:
        asyncio.run(ask())
    assert "refused" in caught.value.details["causes"][-1]["message"]


def test_a_child_process_is_refused_too():
    """Whatever Python a test starts finds the same guard."""
    code = f"import socket; socket.socket().connect(('{NOWHERE}', 80))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"AssertionError: a test tried to reach '{NOWHERE}' (socket.connect)" in ended.stderr
