"""One POST, one answer or one small error: all that the engine knows of HTTP.

`Transport` is what the engine needs; `PyreqwestTransport` is how it is done (docs/adr/0004). Whatever
goes wrong becomes a `TransportError` in our own words: the library's messages quote addresses and
header values, in which keys travel.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.response import Response as RawResponse

BODY_LIMIT = 64 << 20
"""Bytes of an answer, unpacked. The largest honest one, 2,048 embeddings, is about 60 MB."""

CONNECT_SECONDS = 15.0

Kind = Literal["refused", "tls", "lost", "timeout", "cut_off", "too_large", "unsendable"]

WORDS: Mapping[Kind, str] = {
    "refused": "no connection could be made",
    "tls": "no secure connection could be made; the certificate or the protocol was not accepted",
    "lost": "the connection was lost before the answer came",
    "timeout": "no complete answer came in time",
    "cut_off": "the answer broke off",
    "too_large": f"the answer is larger than {BODY_LIMIT >> 20} MB",
    "unsendable": "the address or a header cannot be sent",
}
"""What happened, for people. `refused`, `tls` and `unsendable` never reached the other side."""

HEADERS = (
    "location", "retry-after", "retry-after-ms", "x-should-retry",
    "x-request-id", "request-id", "apim-request-id", "x-ms-request-id",
    "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
)  # fmt: skip
"""Response headers somebody reads."""

_TLS_WORDS = ("certificate", "tls", "ssl", "handshake", "corrupt message", "fatal alert")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `headers` has lower-case names and only those of `HEADERS`; `body` is unpacked."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class TransportError(Exception):
    """No whole answer.

    Args:
        kind: What happened; `WORDS` explains.
        start: What of the body came before it broke off.
    """

    def __init__(self, kind: Kind, start: bytes = b"") -> None:
        super().__init__(WORDS[kind])
        self.kind: Kind = kind
        self.start = start


class Transport(Protocol):
    """Something that can POST; used by many coroutines at once."""

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - one attempt's own limit, kept by the library
    ) -> Response:
        """Send one request and wait for the whole answer.

        Args:
            url: Absolute.
            headers: Sent as they are; may hold credentials.
            body: Sent as it is.
            timeout: Seconds from connecting to the last byte.

        Raises:
            TransportError: There is no whole answer.
        """
        ...


class PyreqwestTransport:
    """`Transport` on pyreqwest: connections are kept, redirects are answers, bodies have a limit.

    A redirect is not followed, for the credentials would go along. A server on this machine is asked
    directly even when the environment names a proxy: its prompts are not the proxy's business.

    Cancelling a `post` comes back at once, but the library lets the request itself run on until its
    timeout (pyreqwest 0.15.1): its answer is dropped.

    Args:
        body_limit: Bytes of an answer that are let through.
    """

    def __init__(self, *, body_limit: int = BODY_LIMIT) -> None:
        self._limit = body_limit
        self._clients: dict[bool, Client] = {}

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - one attempt's own limit, kept by the library
    ) -> Response:
        """Send one request and wait for the whole answer (see `Transport.post`)."""
        status, received, fault = 0, bytearray(), None
        try:
            request = (
                self._client(is_loopback(url))
                .post(url)
                .headers(dict(headers))
                .body_bytes(body)
                .timeout(timedelta(seconds=timeout))
                .streamed_read_buffer_limit(0)  # else a body that breaks off hides its status
                .build_streamed()
            )
            async with request as raw:
                status, kept = raw.status, _kept(raw)
                while (chunk := await raw.body_reader.read_chunk()) is not None:
                    received += chunk
                    if len(received) > self._limit:
                        raise TransportError("too_large")  # leaving closes the stream
        except (OSError, ValueError, _library_error()) as error:
            fault = error
        if fault is not None:  # raised out here, so that no traceback carries the library's message
            _raise(fault, status, bytes(received))
        return Response(status, kept, bytes(received))

    async def close(self) -> None:
        """Close the kept connections."""
        while self._clients:
            await self._clients.popitem()[1].close()

    def _client(self, direct: bool) -> Client:
        """Build a client at first use: it reads the environment's proxies and loads certificates."""
        if direct not in self._clients:
            from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - loads at first use

            builder = ClientBuilder().follow_redirects(enable=False)
            builder = builder.connect_timeout(timedelta(seconds=CONNECT_SECONDS))
            self._clients[direct] = (builder.no_proxy() if direct else builder).build()
        return self._clients[direct]


@lru_cache(maxsize=16)  # a run has one address, asked about at every request
def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own, by its look."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _library_error() -> type[Exception]:
    from pyreqwest.exceptions import PyreqwestError  # noqa: PLC0415 - loads at first use

    return PyreqwestError


def _kept(raw: RawResponse) -> dict[str, str]:
    found = {}
    for name in HEADERS:
        try:
            value = raw.get_header(name)
        except ValueError:  # bytes that are no text: as good as absent
            continue
        if value is not None:
            found[name] = value
    return found


def _raise(fault: Exception, status: int, received: bytes) -> NoReturn:
    """Say in our words what the library said in its own."""
    from pyreqwest.exceptions import (  # noqa: PLC0415 - loads at first use
        BuilderError,
        RequestError,
        RequestTimeoutError,
    )

    if not isinstance(fault, RequestError | OSError) or isinstance(fault, BuilderError):
        raise TransportError("unsendable")
    if isinstance(fault, RequestTimeoutError) and not _while_connecting(fault):
        raise TransportError("timeout", received)
    if status:
        raise TransportError("cut_off", received)
    if _while_connecting(fault):
        words = " ".join(_causes(fault)).lower()
        raise TransportError("tls" if any(w in words for w in _TLS_WORDS) else "refused")
    raise TransportError("lost")


def _while_connecting(fault: Exception) -> bool:
    # The class cannot be trusted here: pyreqwest 0.15.1 calls an answer that does not come a
    # ConnectTimeoutError and a dropped one a ConnectError. The chain of causes is reqwest's own.
    return "client error (Connect)" in _causes(fault)


def _causes(fault: Exception) -> list[str]:
    details = getattr(fault, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()][1:]
