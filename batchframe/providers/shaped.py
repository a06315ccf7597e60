"""A provider whose batch API has OpenAI's shape: files go up, a batch is made of one, files come down.

What differs from OpenAI's own is data (`Surface`), not code. Facts: OpenAI's API reference and batch
guide, Azure's global batch pages, Groq's and Together's references, read 2026-11.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from batchframe.dialects.dialect import Dialect
from batchframe.errors import ProviderError, ProviderUnavailableError, UnsupportedError
from batchframe.model import (
    Brought,
    Connection,
    Endpoint,
    Limits,
    Part,
    Patience,
    Phase,
    Progress,
    RowError,
    Ticket,
    Usage,
)
from batchframe.providers.account import Account, connection
from batchframe.providers.listing import Twin, chosen, is_past
from batchframe.providers.reasons import reasons
from batchframe.providers.rest import NotThereError, RefusedError, Rest, is_full
from batchframe.providers.results import bring, size_of
from batchframe.redact import redact

LOG = logging.getLogger(__name__)

TAG = "batchframe"
"""The metadata key under which a batch of ours carries its part's key."""

SKEW_SECONDS = 3600.0
"""How far the provider's clock may be from ours when batches are looked for by their age."""

FILE_SECONDS = 600.0
"""How long an uploaded file may take to be processed."""

PAGE = 100

_MOST_WORDS = 500
_MOST_STATUS = 40

PHASES: Mapping[str, Phase] = {
    "validating": Phase.WAITING,
    "in_progress": Phase.RUNNING,
    "finalizing": Phase.RUNNING,
    "cancelling": Phase.RUNNING,
    "canceling": Phase.RUNNING,
    "completed": Phase.ENDED,
    "expired": Phase.ENDED,
    "cancelled": Phase.ENDED,
    "canceled": Phase.ENDED,
    "failed": Phase.FAILED,
}
"""Statuses in lower case, in both spellings that are in use; any other one is WAITING."""

ALL_CODES = frozenset(
    {
        "invalid_url", "url_mismatch", "token_limit_exceeded", "too_many_tasks", "empty_file",
        "input_modified", "input_no_permissions",
    }
)  # fmt: skip
"""Codes that are about all lines, although a service may name one (OpenAI's and Azure's, 2026-11).

Any other fault that names a line is that line's: it would make the next batch fail as well.
"""

_RESULT_FILES = ("output_file_id", "error_file_id")


@dataclass(frozen=True, slots=True)
class Surface:
    """Where a batch API of this shape differs from OpenAI's own.

    Args:
        endpoints: What requests may be for, and the `endpoint` that creating a batch names for it.
        dialects: The words of the files, by endpoint.
        upload: The path that takes files.
        purpose: The form's `purpose`.
        form: More fields of the upload's form.
        file_name: The form's field that names the file besides its own name, if there is one.
        waits: A file must be `processed` before a batch can be made of it.
        window: `completion_window`.
        metadata: A batch may carry metadata; otherwise it is known by its input file alone.
        params: The query of every call (`api-version`).
        wrapped: The key under which the answer to a create holds the batch.
        pages: The list of batches has pages.
        body: More members of the body that creates a batch.
        about_all: Words, in lower case, of faults that are about all lines although they name one.
        all_codes: Codes of such faults, likewise.
    """

    endpoints: Mapping[Endpoint, str]
    dialects: Mapping[Endpoint, Dialect]
    upload: str = "/files"
    purpose: str = "batch"
    form: Mapping[str, str] = field(default_factory=dict)
    file_name: str | None = None
    waits: bool = False
    window: str = "24h"
    metadata: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    wrapped: str | None = None
    pages: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
    about_all: tuple[str, ...] = ()
    all_codes: frozenset[str] = ALL_CODES


@dataclass
class Shaped:
    """The lifecycle of a batch over files; each provider of this shape is one of these with its own data.

    Args:
        name: The word before the slash.
        account: Its settings.
        surface: Where it differs.
        limits: What one batch may hold.
        rest: The way there.
        known: Models to suggest; any name is passed on.
        ready: Raises what is missing before anything can be asked.
        headers: Gives the credentials for immediate requests.
    """

    name: str
    account: Account
    surface: Surface
    limits: Limits
    rest: Rest
    known: tuple[str, ...]
    ready: Callable[[], object]
    headers: Callable[[], Mapping[str, str]] = field(repr=False)
    _odd: set[str] = field(default_factory=set, repr=False)

    @property
    def poll_seconds(self) -> float:
        """How often a batch is asked for."""
        return self.account.poll_seconds

    @property
    def patience(self) -> Patience:
        """For how long its word is asked for again before it counts."""
        return self.account.patience

    @property
    def carries_metadata(self) -> bool:
        """Whether its batches have a place for the user's metadata."""
        return self.surface.metadata

    def models(self) -> list[str]:
        """Name some models; any other name is passed on as it is."""
        return list(self.known)

    def check(self, model: str, endpoint: Endpoint) -> None:  # noqa: ARG002 - any name is passed on
        """Find out, without network, whether there is a key and the endpoint is known here.

        Raises:
            MissingCredentialsError: No key was found.
            UnsupportedError: It has no such endpoint.
        """
        self.dialect(endpoint)
        self.ready()

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:  # noqa: ARG002 - one way for all
        """Give the way to the synchronous API."""
        return connection(self.account, self.headers(), key_help=self.rest.key_help)

    def dialect(self, endpoint: Endpoint) -> Dialect:
        """Give the words of its batch files.

        Raises:
            UnsupportedError: Its batches have no such endpoint.
        """
        found = self.surface.dialects.get(endpoint)
        if found is None:
            known = ", ".join(each.value for each in self.surface.dialects)
            raise UnsupportedError(
                f"{self.name} has no batches for {endpoint.value}; it has: {known}."
            )
        return found

    # --- the lifecycle

    def upload(self, part: Part, file: Path) -> Ticket:
        """Bring the wire file over."""
        surface, name = self.surface, f"{part.key}.jsonl"
        fields = {"purpose": surface.purpose, **surface.form}
        if surface.file_name:
            fields[surface.file_name] = name
        path = _with(surface.upload, surface.params)
        made = self.rest.upload(path, file, "take the file", fields=fields, name=name)
        identity = _id(made, "file", self.name)
        if surface.waits:
            self._await_file(identity)
        return Ticket(self.name, {"file": identity})

    def _await_file(self, identity: str) -> None:
        """Wait until a file is processed: a batch of it would be refused before."""
        until = time.monotonic() + FILE_SECONDS
        while True:
            found = self._get(f"/files/{identity}", "look at the file")
            status = str(found.get("status", "")).lower()
            if status in ("processed", "succeeded"):
                return
            if status in ("error", "failed", "deleted"):
                why = found.get("status_details") or found.get("error") or "it does not say why"
                raise ProviderError(
                    f"{self.name} could not process the file: {redact(str(why), _MOST_WORDS)}."
                )
            if time.monotonic() > until:
                raise ProviderUnavailableError(
                    f"{self.name} has not processed the file after {FILE_SECONDS / 60:.0f} minutes; "
                    f"its status is {redact(str(found.get('status', '')), 40)!r}."
                )
            time.sleep(min(self.poll_seconds, 5.0))

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Make the batch, with the part's key in its metadata so that it is found again."""
        surface = self.surface
        body = {
            "input_file_id": ticket.data["file"],
            "endpoint": surface.endpoints[part.endpoint],
            "completion_window": surface.window,
            **surface.body,
        }
        if surface.metadata:
            body["metadata"] = _metadata(part)
        made = self.rest.call(
            "POST", "/batches", "create the batch", json=body, params=surface.params, once=True
        )
        if surface.wrapped and isinstance(made, dict):
            made = made.get(surface.wrapped, made)
        return self._ticket(ticket, _id(made, "batch", self.name))

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Look for the part's batch by its key or, where batches carry none, by its input file."""
        data = ticket.data if ticket else {}
        since = float(data.get("intended_at", 0)) - SKEW_SECONDS
        ours = [batch for batch in self._batches(since) if self._is_ours(batch, part, data)]
        if not ours:
            return None
        first, others = chosen([self._twin(batch) for batch in ours])
        for twin in others:  # the same rows would be paid for twice
            LOG.warning(
                "%s: %s is a duplicate of %s and is cancelled", self.name, twin.id, first.id
            )
            with suppress(RefusedError):  # it has ended meanwhile
                self._cancel(twin.id)
        batch = next(batch for batch in ours if batch["id"] == first.id)
        known = {**data, "file": data.get("file") or batch.get("input_file_id")}
        return self._ticket(Ticket(self.name, known), first.id)

    def _twin(self, batch: Mapping[str, Any]) -> Twin:
        done, _ = _done(batch)
        answers, files = bool(_owed(_status(batch), done)), any(map(batch.get, _RESULT_FILES))
        return Twin(batch["id"], _age(batch), self._phase(batch), answers, files)

    def _is_ours(self, batch: Mapping[str, Any], part: Part, data: Mapping[str, Any]) -> bool:
        if not isinstance(batch.get("id"), str) or _turned_away(batch):
            return False
        tag = (batch.get("metadata") or {}).get(TAG) if self.surface.metadata else None
        return tag == part.key or (
            tag is None
            and data.get("file") is not None
            and batch.get("input_file_id") == data["file"]
        )

    def _batches(self, since: float) -> Iterator[Mapping[str, Any]]:
        """List batches, as far back as `since` where the list is seen to come newest first."""
        after, ages, seen = None, list[float](), set[object]()
        while True:
            params: dict[str, str | int] = {**self.surface.params}
            if self.surface.pages:
                params |= {"limit": PAGE, **({"after": after} if after else {})}
            found = self.rest.call("GET", "/batches", "list the batches", params=params)
            batches = found.get("data") if isinstance(found, dict) else found
            batches = [batch for batch in batches or [] if isinstance(batch, dict)]
            yield from batches
            ages += map(_age, batches)
            after = batches[-1].get("id") if batches else None
            more = isinstance(found, dict) and found.get("has_more") and self.surface.pages
            # a server that knows no pages gives the same one again
            if not more or after is None or after in seen or is_past(ages, since):
                return
            seen |= {str(batch.get("id")) for batch in batches}

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the batch is."""
        batch = self._get(f"/batches/{ticket.data['batch']}", "look at the batch")
        phase = self._phase(batch)
        if _turned_away(batch):
            phase = Phase.REFUSED
        done, counts = _done(batch)
        status = _status(batch)
        return Progress(
            phase,
            total=_whole(counts.get("total")),
            done=done,
            failed=_whole(counts.get("failed")),
            usage=_usage(batch.get("usage")),
            message=self._message(batch) if phase in (Phase.FAILED, Phase.REFUSED) else None,
            rejected=_rejected(batch, self.surface) if phase is Phase.FAILED else (),
            owed=_owed(status, done),
            unknown=None if status in PHASES else status[:_MOST_STATUS],
        )

    def _message(self, batch: Mapping[str, Any]) -> str | None:
        """Say why a batch failed, in the provider's words, and whose turn it is where that is known."""
        told, advice = [], dict[str, None]()
        for fault in _faults(batch)[:3]:
            code = str(fault.get("code") or "")
            where = f" (line {fault['line']})" if fault.get("line") else ""
            said = f"{fault.get('message') or ''}{where}".strip()
            told.append(f"{code}: {said}" if code else said)
            advice[self.rest.advice.get(code.lower(), "")] = None
        return " ".join(filter(None, ("; ".join(filter(None, told)), *advice))) or None

    def _phase(self, batch: Mapping[str, Any]) -> Phase:
        status = _status(batch)
        if status not in PHASES and status not in self._odd:
            self._odd.add(status)  # once is enough: it is polled for hours
            LOG.warning(
                "%s: the batch status %r is unknown; it is polled on",
                self.name,
                redact(str(batch.get("status", "")), 40),
            )
        return PHASES.get(status, Phase.WAITING)

    def fetch(self, ticket: Ticket, folder: Path) -> Brought:
        """Bring the output and the error file; either may be missing."""
        batch = self._get(f"/batches/{ticket.data['batch']}", "look at the batch")
        found = [(kind, str(batch[kind])) for kind in _RESULT_FILES if batch.get(kind)]
        return bring([(name, partial(self._download, name, folder, kind)) for kind, name in found])

    def _download(self, identity: str, folder: Path, kind: str) -> Path:
        target = folder / f"{kind.removesuffix('_file_id')}.jsonl"
        if target.exists():
            return target
        path, params = f"/files/{identity}", dict(self.surface.params)
        size = size_of(lambda: self._get(path, "look at the result file"), "bytes")
        return self.rest.download(
            f"{path}/content", target, "give the result file", params=params, size=size
        )

    def cancel(self, ticket: Ticket) -> None:
        """Ask for the end; what is answered is fetched later."""
        self._cancel(ticket.data["batch"])

    def _cancel(self, identity: str) -> None:
        path = f"/batches/{identity}/cancel"
        self.rest.call("POST", path, "cancel the batch", params=self.surface.params)

    def cleanup(self, ticket: Ticket) -> None:
        """Remove the input and the result files; what is gone already is fine."""
        files = {ticket.data.get("file")}
        if "batch" in ticket.data:
            with suppress(NotThereError):
                batch = self._get(f"/batches/{ticket.data['batch']}", "look at the batch")
                files |= {batch.get(kind) for kind in _RESULT_FILES}
        for identity in filter(None, files):
            with suppress(NotThereError):
                path = f"/files/{identity}"
                self.rest.call("DELETE", path, "delete a file", params=self.surface.params)

    def _get(self, path: str, doing: str) -> Mapping[str, Any]:
        found = self.rest.call("GET", path, doing, params=self.surface.params)
        return found if isinstance(found, dict) else {}

    def _ticket(self, before: Ticket, batch: str) -> Ticket:
        return Ticket(self.name, {**before.data, "batch": batch})


def _metadata(part: Part) -> dict[str, str]:
    """Give the batch's metadata: the user's, and ours, which nothing of the user's may hide."""
    return {**part.metadata, TAG: part.key, "job": part.job_id, "part": str(part.number)}


def _status(batch: Mapping[str, Any]) -> str:
    return str(batch.get("status", "")).strip().lower()


def _done(batch: Mapping[str, Any]) -> tuple[int | None, Mapping[str, Any]]:
    """Give how many rows have an outcome, and all counts; None: the batch does not say."""
    counts = batch.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    good, bad = _whole(counts.get("completed")), _whole(counts.get("failed"))
    return (None if good is None and bad is None else (good or 0) + (bad or 0)), counts


def _owed(status: str, done: int | None) -> int | None:
    """Say how many lines a batch's files must hold; counts of cancelled batches were seen to be wrong."""
    if status == "completed":
        return done or 1  # whatever is not said: no batch is without rows
    return done if status == "expired" else None


def _turned_away(batch: Mapping[str, Any]) -> bool:
    """Whether a batch failed because the queue was full: nothing of it ran."""
    if _status(batch) != "failed":
        return False
    return any(is_full(fault.get("code"), str(fault.get("message"))) for fault in _faults(batch))


def _faults(batch: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give why a batch failed: a list of objects at OpenAI, one sentence at Together, anything elsewhere."""
    for name in ("errors", "error"):
        found = reasons(batch.get(name))
        if found:
            return found
    return []


def _rejected(batch: Mapping[str, Any], surface: Surface) -> tuple[tuple[int, RowError], ...]:
    """Find the lines that made a whole batch fail; a service names the first one only."""
    found = []
    for fault in _faults(batch):
        line, code = _whole(fault.get("line")), str(fault.get("code") or "")
        said = str(fault.get("message") or "")
        words = any(word in said.lower() for word in surface.about_all)
        if line and not words and code.lower() not in surface.all_codes:
            code = redact(code) or "invalid_request"
            found.append((line, RowError(code, redact(said, _MOST_WORDS))))
    return tuple(found)


def _id(made: object, what: str, name: str) -> str:
    found = made.get("id") if isinstance(made, dict) else None
    if not isinstance(found, str) or not found:
        raise ProviderUnavailableError(f"{name} gave a {what} without an id.")
    return found


def _age(batch: Mapping[str, Any]) -> float:
    """Give when a batch was made, in Unix seconds; Azure and Together write ISO dates."""
    made = batch.get("created_at")
    if isinstance(made, int | float) and not isinstance(made, bool):
        return float(made)
    try:
        return dt.datetime.fromisoformat(str(made)[:19] + "+00:00").timestamp()
    except ValueError:
        return 0.0


def _whole(raw: object) -> int | None:
    return raw if type(raw) is int and raw >= 0 else None


def _usage(raw: object) -> Usage:
    """Read a batch's own usage, in the words of the Responses API."""
    found = raw if isinstance(raw, dict) else {}
    inside, outside = found.get("input_tokens_details"), found.get("output_tokens_details")
    return Usage(
        input=_whole(found.get("input_tokens")),
        output=_whole(found.get("output_tokens")),
        cached=_whole(inside.get("cached_tokens")) if isinstance(inside, dict) else None,
        reasoning=_whole(outside.get("reasoning_tokens")) if isinstance(outside, dict) else None,
    )


def _with(path: str, params: Mapping[str, str]) -> str:
    return path + ("?" + "&".join(f"{k}={v}" for k, v in params.items()) if params else "")
