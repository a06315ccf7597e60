"""A fake provider on loopback: its state, its clock, its faults, and the server before them."""

from __future__ import annotations

import email.utils
import itertools
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Container
from types import TracebackType
from typing import Any, Self

import orjson

from batchframe.model import Json
from batchframe.testing.clouds import checks, lifecycle
from batchframe.testing.clouds.answers import SNAPSHOTS
from batchframe.testing.clouds.clock import Clock
from batchframe.testing.clouds.faults import Faults
from batchframe.testing.clouds.flavour import Flavour, Operation, compiled
from batchframe.testing.clouds.nouns import ENDED, Batch, Pace, Problem, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, Server, wrong
from batchframe.testing.fake import Answer, echo

QUEUE_FULL = (
    "Enqueued token limit reached for {model} in organization {organization}. Limit: 2,000,000 "
    "enqueued tokens. Please try again once some in_progress batches have been completed."
)
FILES = frozenset({"output_file_id", "error_file_id", "output_file", "error_file"})
"""Names in batch objects that hold result files."""

OPEN = ("/signed/", "/put/")
"""Paths that carry their own right to be read or written, as signed addresses do."""

HTML = (
    b"<!DOCTYPE html><html><head><title>%d</title></head><body><h1>Error %d</h1>"
    b"<p>The server returned an unknown error.</p><p>Cloudflare Ray ID: 8f00ba4</p></body></html>"
)


class Cloud:
    """One provider's batch API, whole: files, batches, results, and what can go wrong with them.

    Use it as a context manager. What may be set at any time: `answer`, `step`, `models`, `limits`, `direct`,
    `reasoning_tokens`, and the switches of `faults`. One lock serves one call at a time, so a slow
    `answer` holds up all others.

    Attributes:
        answer: The model: OpenAI body -> text, or a whole body. A body with "error" fails its row with
            its "status_code" (else 400); a raise fails it with 500.
        clock: The cloud's time. It stands still but for `advance`, and for `step`.
        step: Seconds that pass before each look at a batch; 0: only `clock.advance` moves time.
        faults: What goes wrong.
        models: Those that exist; None: whatever is asked for.
        limits: The most that one input file may hold.
        direct: The most bytes that one upload call may bring; None: whatever a file may have.
        reasoning_tokens: How many of them each answer claims.
        port: Where to listen; 0: wherever is free. Read when the block is entered.
        key: The only API key that is accepted; `token` is the bearer token that Azure takes beside it.
        log: (method, path, status) of all calls so far; status 0: the connection was reset.
    """

    def __init__(self, flavour: Flavour, *, key: str | None = None) -> None:
        self.flavour = flavour
        self.answer: Answer = echo
        self.clock = Clock()
        self.step = 30.0
        self.port = 0
        self.faults = Faults()
        self.models: Container[str] | None = None
        self.limits = flavour.limits
        self.direct = flavour.direct
        self.reasoning_tokens = flavour.reasoning
        self.file_quota = (500, 10_000)
        self.key = key or flavour.key
        self.token = f"token-of-{flavour.name}"
        self.organization = "org-fake"
        self.log: list[tuple[str, str, int]] = []
        self.store: dict[str, StoredFile] = {}
        self.jobs: dict[str, Batch] = {}
        self.extra: Json = {}
        self.unique = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._routes = compiled(flavour.routes)
        self._lock = threading.RLock()
        self._server: Server | None = None
        self._broken: list[Exception] = []

    # the public face ---------------------------------------------------------------------------

    @property
    def root(self) -> str:
        """Where the server listens: scheme, host and port."""
        if self._server is None:
            raise RuntimeError(f"the {self.flavour.name} cloud is not up: use it in a with block")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """What the provider's base URL setting would be."""
        return self.root + self.flavour.base

    def environment(self) -> dict[str, str]:
        """Give the vendor's environment variables that point a client here."""
        return self.flavour.environment(self)

    def batches(self) -> list[dict[str, Any]]:
        """Give every batch ever created, oldest first: what would be on the bill."""
        with self._lock:
            return [self._plain(batch) for batch in self.jobs.values()]

    def requests(self, batch_id: str) -> list[dict[str, Any]]:
        """Give the input lines of one batch, parsed; what is no JSON is left out."""
        with self._lock:
            batch = self.jobs[batch_id]
            rows = batch.rows
            if not rows and batch.input_file_id in self.store:
                data = self.store[batch.input_file_id].data
                rows = checks.read(
                    data, self.flavour, endpoint=batch.endpoint, models=None, most=len(data)
                ).rows
            return [{"custom_id": row.custom_id, "url": row.url, "body": row.body} for row in rows]

    def files(self) -> dict[str, bytes]:
        """Give what is stored now: id -> content."""
        with self._lock:
            return {name: file.data for name, file in self.store.items() if not self._gone(file)}

    def __enter__(self) -> Self:
        """Start the server."""
        self._server = Server(self.handle, self.port)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server; what broke inside the cloud itself is raised here."""
        if self._server is not None:
            self._server.shutdown()
            self._server.hang_up()
            self._server.server_close()
            self._server = None
        if self._broken and kind is None:
            raise self._broken[0]

    # state, for the flavours -------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """Give an id that no other thing of this cloud has."""
        return f"{prefix}{self.unique}{next(self._numbers):08x}"

    def stored(self, file_id: str) -> StoredFile | None:
        """Give a file, unless it never was, was deleted or has expired."""
        file = self.store.get(file_id)
        return None if file is None or self._gone(file) else file

    def keep(
        self,
        name: str,
        data: bytes,
        *,
        purpose: str = "batch",
        seconds: float | None = None,
        file_id: str | None = None,
    ) -> StoredFile:
        """Store a file.

        Args:
            name: Its name.
            data: Its content.
            purpose: What it is for.
            seconds: How long it lives; None: as long as the provider keeps files.
            file_id: Its id; None: a new one.
        """
        now = self.clock.now
        lives = seconds if seconds is not None else self.flavour.retention
        file = StoredFile(
            file_id or self.new_id(self.flavour.prefixes[1]),
            name,
            purpose,
            data,
            now,
            None if lives is None else now + lives,
            now + self.flavour.file_seconds,
        )
        self.store[file.id] = file
        return file

    def keep_results(self, batch: Batch, kind: str, data: bytes) -> str:
        """Store a result file and give its id."""
        name = f"{batch.id}_{kind}.jsonl"
        seconds = batch.extra.get("output_seconds")
        return self.keep(name, data, purpose="batch_output", seconds=seconds).id

    def begin(self, batch: Batch) -> Batch:
        """Take a batch in: from here on it is on the bill."""
        faults = self.faults
        batch.times["validating"] = batch.created
        if faults.validating is not None:
            batch.pace = Pace(
                faults.validating, batch.pace.running, batch.pace.finalizing, batch.pace.cancelling
            )
        share = faults.expire if faults.expire is not None else faults.hang
        batch.share, batch.leap = 1.0 if share is None else share, faults.expire is not None
        if faults.count("queue_full_after_create"):
            batch.problem = self.queue_problem(batch)
        if faults.count("fail_after_create"):
            batch.problem = Problem(
                f"invalid_file{faults.quoted}", f"The file is not in order. {faults.quoted}"
            )
        self.jobs[batch.id] = batch
        return batch

    def queue_problem(self, batch: Batch) -> Problem:
        """Say that too many tokens wait already."""
        model = self.model_of(batch) or "the model"
        said = QUEUE_FULL.format(model=model, organization=self.organization)
        return Problem("token_limit_exceeded", said)

    def model_of(self, batch: Batch) -> str | None:
        """Give the model that a batch's first line asks for."""
        if batch.extra.get("model"):
            return str(batch.extra["model"])
        file = self.stored(batch.input_file_id or "")
        match = re.search(rb'"model"\s*:\s*"([^"]+)"', file.data) if file else None
        return match[1].decode() if match else None

    def job(self, batch_id: str) -> Batch | None:
        """Give a batch as it is now."""
        batch = self.jobs.get(batch_id)
        if batch is not None:
            lifecycle.settle(self, batch)
        return batch

    def shown(self, batch: Batch) -> Json:
        """Give a batch in its provider's words, as the faults leave them."""
        found = self.flavour.batch(self, batch)
        lost = self.faults.missing_fields
        for name in list(found) if "*" in lost else lost:
            if name not in self.flavour.identity or name in lost:
                found.pop(name, None)
        if self.faults.status_word is not None:
            self.flavour.spelt(found, self.faults.status_word)
        if batch.stage in ENDED and self.faults.count("late_files"):
            for name in FILES & found.keys():
                found[name] = None
        return found

    def forget_results(self) -> None:
        """Forget all files and, where results are the batches' own, all batches: they are too old."""
        with self._lock:
            self.store.clear()
            if not self.flavour.filed:
                self.jobs.clear()

    def listed(self) -> list[Batch]:
        """Give the batches that a list shows, newest first unless the fault says otherwise."""
        latest = self.clock.now - self.faults.stale_list
        seen = [batch for batch in self.jobs.values() if batch.created <= latest]
        if not self.faults.stale_list:
            seen = list(self.jobs.values())
        for batch in seen:
            lifecycle.settle(self, batch)
        return seen if self.faults.oldest_first else seen[::-1]

    def snapshot(self, model: str | None) -> str | None:
        """Give the model that answers for a name."""
        return SNAPSHOTS.get(model, model) if model else None

    # calls ---------------------------------------------------------------------------------------

    def handle(self, call: Call) -> Reply:
        """Answer one call, or break it as the faults say."""
        with self._lock:
            try:
                given = self._handle(call)
            except Exception as error:  # noqa: BLE001 - the test must learn of it, not the client
                self._broken.append(error)
                given = Reply(599, f"the fake cloud broke: {error!r}".encode(), {})
            self.log.append(
                (call.method, call.path, 0 if given.broken == "reset" else given.status)
            )
        return given

    def _handle(self, call: Call) -> Reply:
        name, do = self._find(call)
        struck = self._before(name)
        if struck is not None:
            return struck
        try:
            self._admit(call, name)
            if name in self.flavour.ticks:
                self.clock.advance(self.step)
            amiss = self.faults.strikes("instead", name)
            if amiss:  # whoever sends the wrong thing does not go on where another left off
                call.headers = {n: v for n, v in call.headers.items() if n != "range"}
            given = do(self, call)
            given = wrong(given, self.faults.wrong) if amiss else given
        except Refused as refused:
            given = self.refuse(refused)
        headers = {**self.flavour.headers(self.new_id("")), **given.headers}
        given = Reply(given.status, given.body, headers, given.broken, given.kind)
        if self.faults.strikes("drop_after", name):
            return Reply(given.status, broken="reset")
        if self.faults.strikes("cut", name):
            return Reply(given.status, given.body, headers, "cut", given.kind)
        return given

    def _find(self, call: Call) -> tuple[str, Operation]:
        known = False
        for method, pattern, name, do in self._routes:
            match = pattern.fullmatch(call.path)
            known = known or match is not None
            if match and method == call.method:
                call.ids = match.groupdict()
                return name, do
        refused = (
            (405, "Method Not Allowed")
            if known
            else (404, f"Invalid URL ({call.method} {call.path})")
        )
        return "unknown", _refusing(Refused(*refused))

    def refuse(self, refused: Refused, headers: dict[str, str] | None = None) -> Reply:
        """Refuse a call in the provider's words."""
        quoted, headers = self.faults.quoted, dict(headers or {})
        if quoted:
            refused = Refused(
                refused.status, f"{refused.message} {quoted}", code=f"{refused.code or 'refused'}{quoted}",
                param=refused.param, kind=refused.kind,
            )  # fmt: skip
            headers["x-request-id"] = quoted
        body = self.flavour.refusal(refused)
        if quoted:
            body = {**body, quoted: {"sent": quoted}}
        return Reply(refused.status, orjson.dumps(body), headers)

    def _admit(self, call: Call, name: str) -> None:
        if name == "unknown" or call.path.startswith(OPEN):
            return
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ")
        given = bearer or call.headers.get("api-key", "")
        azure = self.flavour.name == "azure"
        right = {self.key, self.token} if azure and bearer else {self.key}
        if given not in right or (not bearer and not azure):
            raise self.flavour.unauthorized(given)

    def _before(self, name: str) -> Reply | None:
        faults = self.faults
        if faults.strikes("drop_before", name):
            return Reply(0, broken="reset")
        if faults.strikes("html", name):
            status = faults.html_status
            return Reply(
                status, HTML % (status, status), {"server": "cloudflare"}, kind="text/html"
            )
        for fault, refused in STRIKES.items():
            if faults.strikes(fault, name):
                return self.refuse(refused(self))
        if faults.strikes("rate_limit", name):
            said = (
                f"Rate limit reached in organization {self.organization} on requests per min (RPM)."
            )
            refusal = Refused(429, said, code="rate_limit_exceeded", kind="requests")
            return self.refuse(refusal, self._patience())
        return None

    def _patience(self) -> dict[str, str]:
        seconds = self.faults.rate_limit_seconds
        until = email.utils.formatdate(time.time() + seconds, usegmt=True)
        reset = f"{seconds:g}{'s' if self.flavour.reset_unit == 's' else ''}"
        dialects = {
            "retry-after": {"retry-after": str(math.ceil(seconds))},
            "date": {"retry-after": until},
            "retry-after-ms": {"retry-after-ms": str(int(seconds * 1000))},
            "reset": {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": reset,
            },
            "none": {},
        }
        return dialects[self.faults.rate_limit_dialect]

    def _gone(self, file: StoredFile) -> bool:
        return file.expires is not None and self.clock.now >= file.expires

    def _plain(self, batch: Batch) -> dict[str, Any]:
        lifecycle.settle(self, batch)
        file = self.store.get(batch.input_file_id or "")
        return {
            "id": batch.id,
            "name": batch.name,
            "metadata": batch.metadata,
            "status": batch.stage,
            "ended": batch.stage in ENDED,
            "input_file_id": batch.input_file_id,
            "rows": len(batch.rows) or (len(checks.lines_of(file.data)) if file else 0),
            "answered": len(batch.lines),
            "created_at": batch.created,
        }


def _refusing(refused: Refused) -> Operation:
    def refuse(_cloud: Cloud, _call: Call) -> Reply:
        raise refused

    return refuse


STRIKES: dict[str, Callable[[Cloud], Refused]] = {
    "server_error": lambda cloud: Refused(
        cloud.faults.server_status,
        "The server had an error while processing your request. Sorry about that!",
        kind="server_error",
    ),
    "quota_gone": lambda cloud: cloud.flavour.empty_purse,
    "not_found": lambda _cloud: Refused(404, "There is no such thing.", kind="not_found"),
    "unauthorized": lambda cloud: cloud.flavour.unauthorized(cloud.key),
    "forbidden": lambda _cloud: Refused(
        403,
        "You have insufficient permissions for this operation. Missing scopes: api.batch.write.",
        code="missing_scope",
    ),
}
"""Fault -> how the call that it hits is refused."""
