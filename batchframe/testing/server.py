"""A model server on loopback that answers by a function: what the immediate engine talks to in tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from batchframe.model import Connection, Endpoint, Limits
from batchframe.testing.fake import LIMITS, Answer, completion, echo


@dataclass
class Echo:
    """A provider without a batch API: its batches are managed, its requests go to a loopback server.

    Args:
        answer: The model; may sleep, raise (HTTP 500), or give a body with an `error` (HTTP 400).
        name: The word before the slash.
        concurrency: Requests that the server says it works on at once.
    """

    answer: Answer = echo
    name: str = "echo"
    concurrency: int = 4
    limits: Limits = LIMITS
    asked: list[dict[str, Any]] = field(default_factory=list)

    def models(self) -> list[str]:
        """Any name works; this one is shown."""
        return ["anything"]

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Every model is here."""

    @contextmanager
    def connect(self, model: str, endpoint: Endpoint) -> Iterator[Connection]:  # noqa: ARG002 - the protocol
        """Start the server for the length of the block."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answer, self.asked.append))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            port = server.server_address[1]
            yield Connection(f"http://127.0.0.1:{port}", {}, self.concurrency, timeout=60)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(
    answer: Answer, asked: Callable[[dict[str, Any]], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave in one packet: two would wait 40 ms for each other

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked(body)
            try:
                given = completion(body, answer(body))
                status = 400 if "error" in given else 200
            except Exception as error:  # noqa: BLE001 - a raising model is a failing server
                given, status = {"error": {"message": str(error), "code": "server_error"}}, 500
            raw = json.dumps(given).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args: object) -> None:
            """Say nothing: tests read stderr."""

    return Handler
