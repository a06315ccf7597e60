"""A small OpenAI-shaped server on loopback whose every answer is scripted, faults included.

It runs in a thread of its own, so that killed subprocesses and blocked loops do not disturb it, and
counts what it is asked by the `user` field of the body, which tests set to the custom_id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Say:
    """One scripted answer.

    `raw` is sent as it is instead of an HTTP answer; `claim` is a content-length that may lie; `drop`
    closes the connection without a word; `delay` is in seconds.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    claim: int | None = None
    drop: bool = False
    raw: bytes | None = None


def fine(user: str = "x", *, prompt: int = 7, completion: int = 3, **usage: Any) -> Say:
    """A good chat completion."""
    body = {
        "id": f"chatcmpl-{user}",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": f"re {user}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **usage},
    }
    return Say(body=json.dumps(body).encode(), headers={"x-request-id": f"req-{user}"})


def refusal(status: int, code: str | None = None, message: str = "no", **headers: str) -> Say:
    """An error answer of the OpenAI shape; header names have _ for -."""
    body = {"error": {"message": message, "type": None, "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status, json.dumps(body).encode(), named)


Script = Callable[[str, int], Say]
"""(user, how many times this user has been asked, from 1) -> what to answer."""


@dataclass
class Server:
    """What was asked, and how to answer it."""

    script: Script = field(default=lambda user, _: fine(user))
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busiest: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it closes."""
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        try:
            user = str(json.loads(body).get("user"))
        except ValueError:
            user = "?"
        self.asked[user] += 1
        self.bodies.append(body)
        self.heads.append(head)
        say = self.script(user, self.asked[user])
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(say.delay)
        finally:
            self.busy -= 1
        if say.drop:
            return False
        if say.raw is not None:
            writer.write(say.raw)
            await writer.drain()
            return False
        length = len(say.body) if say.claim is None else say.claim
        head_lines = {"content-type": "application/json", "content-length": str(length)}
        lines = [f"{name}: {value}" for name, value in {**head_lines, **say.headers}.items()]
        writer.write(f"HTTP/1.1 {say.status} X\r\n".encode())
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + say.body)
        await writer.drain()
        return say.claim is None


@contextlib.contextmanager
def running(script: Script | None = None) -> Iterator[Server]:
    """Run a server in a thread for the block."""
    server = Server() if script is None else Server(script)
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def live() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 26)
        server.port = listening.sockets[0].getsockname()[1]
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        listening.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted connection closes its socket in the next round

    def run() -> None:
        # Connections that a test leaves open are cancelled, which asyncio's streams would log.
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(main)
        loop.close()

    main = loop.create_task(live())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(main.cancel)
        thread.join(10)
