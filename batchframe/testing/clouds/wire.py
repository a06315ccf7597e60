"""HTTP as a cloud speaks it: one request in, one answer out, and the ways in which a connection breaks."""

from __future__ import annotations

import gzip
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from batchframe.model import Json

LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""The socket option that makes a close a reset; Windows packs it shorter."""


@dataclass(slots=True)
class Call:
    """One request; `ids` holds what the route found in the path."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    ids: dict[str, str] = field(default_factory=dict)

    def asked(self, name: str, default: str = "") -> str:
        """Give one value of the query."""
        return self.query.get(name, [default])[-1]

    def json(self) -> Json:
        """Read the body as a JSON object.

        Raises:
            Refused: It is none.
        """
        try:
            found = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise Refused(400, "We could not parse the JSON body of your request.")
        return found

    def form(self) -> dict[str, tuple[str | None, bytes]]:
        """Read a form: name -> (filename, content).

        Raises:
            Refused: It is no form.
        """
        head = Message()
        head["content-type"] = self.headers.get("content-type", "")
        if head.get_content_type() == "application/x-www-form-urlencoded":
            return {
                name: (None, values[-1].encode())
                for name, values in parse_qs(self.body.decode()).items()
            }
        boundary = head.get_param("boundary")
        if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise Refused(415, "Expected a form of the type multipart/form-data.")
        return _parts(self.body, boundary.encode())


def _parts(body: bytes, boundary: bytes) -> dict[str, tuple[str | None, bytes]]:
    found = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        raw, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        head = Message()
        for line in raw.decode().splitlines():
            name, _, value = line.partition(":")
            head[name] = value.strip()
        called = head.get_param("name", header="content-disposition")
        if isinstance(called, str):
            found[called] = (head.get_filename(), content)
    return found


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `broken` says how the connection fails it: a reset, or half the body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: Literal["", "reset", "cut"] = ""
    kind: str = "application/json"


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with JSON."""
    return Reply(status, orjson.dumps(value), headers or {})


def wrong(right: Reply, how: str) -> Reply:
    """Give what comes in place of an answer that is right, under the same status (`faults.Wrong`)."""
    if how == "packed":
        headers = {**right.headers, "content-encoding": "gzip"}
        return Reply(right.status, gzip.compress(right.body), headers, kind=right.kind)
    bodies = {
        "page": b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>",
        "error": b'{"error":{"message":"The server had an error","type":"server_error"}}',
        "nothing": b"",
        "half": right.body[: len(right.body) // 2],
    }
    kind = "text/html" if how == "page" else right.kind
    return Reply(200, bodies[how], {}, kind=kind)


class Refused(Exception):  # noqa: N818 - it is an answer before it is an error
    """A call that the provider refuses; each flavour has its own body for it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code, self.param, self.kind = code, param, kind


class Server(ThreadingHTTPServer):
    """A server on loopback that forgets no connection: stopping it ends them all."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Call], Reply], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _handler(answer))
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection and serve it."""
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._guard:
            self._open.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hung up is no news, and what breaks inside is answered as 599."""

    def hang_up(self) -> None:
        """End what connections are left, so that their threads end."""
        with self._guard:
            left = list(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was faster


def _handler(answer: Callable[[Call], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave in one packet: two would wait 40 ms for each other

        def _serve(self) -> None:
            target = urlsplit(self.path)
            query = parse_qs(target.query, keep_blank_values=True)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = _body(headers, self.rfile.read, self.rfile.readline)
            call = Call(self.command, unquote(target.path), query, headers, body)
            given = answer(call)
            if given.broken == "reset":
                self._reset()
            else:
                self._send(given)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve  # noqa: N815 - the base's

        def _send(self, given: Reply) -> None:
            self.send_response(given.status)
            self.send_header("Content-Type", given.kind)
            self.send_header("Content-Length", str(len(given.body)))
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if given.broken == "cut":
                self.wfile.write(given.body[: len(given.body) // 2])
                self.close_connection = True
            elif self.command != "HEAD":
                self.wfile.write(given.body)

        def _reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            self.wfile.close()
            self.rfile.close()
            self.connection.close()

        def log_message(self, *_args: object) -> None:
            """Say nothing: tests read stderr."""

    return Handler


def _body(
    headers: Mapping[str, str], read: Callable[[int], bytes], line: Callable[[], bytes]
) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return read(int(headers.get("content-length", 0)))
    chunks = []
    while size := int(line().split(b";")[0], 16):
        chunks.append(read(size))
        line()
    while line().strip():
        continue  # trailers
    return b"".join(chunks)
