"""What the tests of the immediate room share: a wire file, a run over it, time that flies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchframe.immediate.engine import Tally, run_part
from batchframe.model import Connection

KEY = "sk-very-secret"


def line(custom_id: str, **body: Any) -> bytes:
    """One wire line as the encoder writes it."""
    body = {
        "model": "m",
        "user": custom_id,
        "messages": [{"role": "user", "content": "hé"}],
        **body,
    }
    wire = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the server's thread brings about."""
    while not holds():  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.01)


@dataclass
class FastClock:
    """Sleeping takes no time and is remembered."""

    now: float = 1_000_000.0
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Bench:
    """A folder with a wire file and a journal, and runs over them."""

    folder: Path
    clock: FastClock = field(default_factory=FastClock)
    seen: list[Tally] = field(default_factory=list)

    @property
    def wire(self) -> Path:
        return self.folder / "part.jsonl"

    @property
    def journal(self) -> Path:
        return self.folder / "part.journal.jsonl"

    def write(self, ids: Iterable[str]) -> None:
        self.wire.write_bytes(b"".join(line(i) for i in ids))

    async def arun(self, url: str, **options: Any) -> Tally:
        timeout = options.pop("timeout", 5.0)
        headers = options.pop("headers", {"Authorization": f"Bearer {KEY}"})
        way = options.pop("way", {})
        connection = Connection(url, headers=headers, timeout=timeout, **way)
        defaults: dict[str, Any] = {
            "cancel": asyncio.Event(),
            "on_progress": self.seen.append,
            "clock": self.clock,
            "concurrency": 4,
            "random": lambda: 1.0,
        }
        return await run_part(self.wire, self.journal, connection, **{**defaults, **options})

    def run(self, url: str, **options: Any) -> Tally:
        return asyncio.run(asyncio.wait_for(self.arun(url, **options), 30))

    def records(self) -> dict[str, dict[str, Any]]:
        """The journal's last word on each row."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return {record["custom_id"]: record for record in map(json.loads, lines)}
