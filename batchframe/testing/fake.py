"""A provider without a network: a folder is its cloud, a function its model, and faults can be switched on.

`Fake` has a batch API of its own. Its batches live in a folder, so they outlive the process that made
them, as real ones do: a killed test can be started again and finds them. `Echo` has none, and its
rows are sent by the immediate engine to a small server on loopback.

    from batchframe.testing import Fake, registered

    with registered(Fake(tmp_path)):
        job = df.batch.submit(model="fake/anything", prompt="{text}")
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.errors import UnsupportedError
from batchframe.model import Connection, Endpoint, Limits, Part, Patience, Phase, Progress, Ticket

Answer = Callable[[dict[str, Any]], str | dict[str, Any]]
"""OpenAI body -> the answer's text, or a whole response body."""

_ONE_BY_ONE = threading.Lock()

LIMITS = Limits(requests=50_000, bytes=200_000_000, source="OpenAI's, copied", as_of="2026-11-23")


def echo(body: dict[str, Any]) -> str:
    """Answer with the last message's text, or the text to embed."""
    content = body["input"] if "input" in body else body["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)


def completion(body: dict[str, Any], answer: str | dict[str, Any]) -> dict[str, Any]:
    """Give a chat completion or embedding response as OpenAI's API gives it.

    Tokens are counted as words: a fake's usage must be predictable.

    Args:
        body: The request.
        answer: The text, or a whole response body, which is given back as it is.
    """
    if isinstance(answer, dict):
        return answer
    words = len(json.dumps(body.get("messages", body.get("input"))).split())
    usage = {"prompt_tokens": words, "completion_tokens": len(answer.split())}
    usage["total_tokens"] = sum(usage.values())
    if "input" in body:
        vector = [float(len(answer)), float(words), 1.0]
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        return {"object": "list", "data": data, "model": body["model"], "usage": usage}
    message = {"role": "assistant", "content": answer, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


@dataclass
class Fake:
    """A provider with a batch API, in a folder.

    Args:
        folder: The cloud: one file an upload, one folder a batch.
        answer: The model.
        name: The word before the slash.
        polls: How often a batch is polled before it has ended.
        end: How it ends: "completed", "expired" (the second half unanswered), "failed" (nothing
            answered), "failed_late" (the first half answered, no line for the rest).
        lines: Called with the result lines before they are written: shuffle, drop, double, damage.
        limits: What one part may hold.
        poll_seconds: How often it is asked for.
        patience: For how long its word is asked for again; it neither lags nor loses anything.
    """

    folder: Path
    answer: Answer = echo
    name: str = "fake"
    polls: int = 2
    end: str = "completed"
    lines: Callable[[list[bytes]], Iterable[bytes]] = field(default=lambda lines: lines)
    limits: Limits = LIMITS
    poll_seconds: float = 0.01
    patience: Patience = Patience(results=1.0, gone=0.05, absent=0.0)  # noqa: RUF009 - it is frozen

    def models(self) -> list[str]:
        """Any name works; this one is shown."""
        return ["anything"]

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Every model is here."""

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:
        """There is no way to ask it now.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(f"{self.name}/{model} is a fake with batches only, at {endpoint}.")

    def dialect(self, endpoint: Endpoint) -> Dialect:  # noqa: ARG002 - the protocol
        """It speaks OpenAI's."""
        return openai.DIALECT

    def upload(self, part: Part, file: Path) -> Ticket:
        """Copy the wire file into the cloud."""
        self.folder.mkdir(parents=True, exist_ok=True)
        there = self.folder / f"{part.key}.input.jsonl"
        there.write_bytes(file.read_bytes())
        return Ticket(self.name, {"input": there.name})

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Begin a batch: every call makes a new one, and is paid for, as at real providers."""
        made = {"key": part.key, "input": ticket.data["input"], "polls": 0, "cancelled": False}
        with _ONE_BY_ONE:  # parts of one job are created side by side
            batch = self.folder / f"batch-{len(self.batches()):04d}"
            batch.mkdir()
            self._write(batch.name, made)
        return Ticket(self.name, {**ticket.data, "batch": batch.name})

    def batches(self) -> list[dict[str, Any]]:
        """List all batches ever made: what would be on the bill."""
        found = sorted(self.folder.glob("batch-*/state.json"))
        return [json.loads(path.read_text()) for path in found]

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Look for a batch with this part's key."""
        for number, batch in enumerate(self.batches()):
            if batch["key"] == part.key:
                known = dict(ticket.data) if ticket else {"input": batch["input"]}
                return Ticket(self.name, {**known, "batch": f"batch-{number:04d}"})
        return None

    def poll(self, ticket: Ticket) -> Progress:
        """Count the polls; the batch ends after `polls` of them."""
        state = self._read(ticket.data["batch"])
        state["polls"] += 1
        self._write(ticket.data["batch"], state)
        total = len(self._requests(state))
        if state["cancelled"] or state["polls"] > self.polls:
            failed = self.end in ("failed", "failed_late")
            message = "the fake was told to fail" if failed else None
            return Progress(Phase.FAILED if failed else Phase.ENDED, total, message=message)
        done = total * state["polls"] // (self.polls + 1)
        return Progress(Phase.RUNNING, total, done=done, failed=0)

    def fetch(self, ticket: Ticket, folder: Path) -> list[Path]:
        """Answer the rows and bring the result file."""
        if self.end == "failed":
            return []
        state = self._read(ticket.data["batch"])
        requests = [json.loads(line) for line in self._requests(state)]
        reach = len(requests)
        if self.end == "expired" or state["cancelled"]:
            reach //= 2
        if self.end == "failed_late":  # it broke before it could say anything of the others
            requests = requests[: reach // 2]
        lines = [self._line(request, row < reach) for row, request in enumerate(requests)]
        there = folder / f"{ticket.data['batch']}.result.jsonl"
        there.write_bytes(b"".join(self.lines([line + b"\n" for line in lines])))
        return [there]

    def cancel(self, ticket: Ticket) -> None:
        """End the batch at the next poll; half of its rows are answered."""
        state = self._read(ticket.data["batch"])
        self._write(ticket.data["batch"], {**state, "cancelled": True})

    def cleanup(self, ticket: Ticket) -> None:
        """Remove the input."""
        (self.folder / ticket.data["input"]).unlink(missing_ok=True)

    def _line(self, request: dict[str, Any], answered: bool) -> bytes:
        line: dict[str, Any] = {"id": "fake", "custom_id": request["custom_id"]}
        if not answered:
            error = {"code": "batch_expired", "message": "the window closed before this row"}
            return json.dumps({**line, "response": None, "error": error}).encode()
        body = completion(request["body"], self.answer(request["body"]))
        status = 400 if "error" in body else 200
        response = {"status_code": status, "request_id": "req-fake", "body": body}
        return json.dumps({**line, "response": response, "error": None}).encode()

    def _requests(self, state: dict[str, Any]) -> list[bytes]:
        raw: bytes = (self.folder / str(state["input"])).read_bytes()
        return raw.splitlines()

    def _read(self, batch: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / batch / "state.json").read_text())
        return found

    def _write(self, batch: str, state: dict[str, Any]) -> None:
        growing = self.folder / batch / f"state.{time.monotonic_ns()}.tmp"
        growing.write_text(json.dumps(state))
        growing.replace(self.folder / batch / "state.json")
