"""xAI: batches over files, counters in place of a status, results in pages, a fifth off the price.

    bf.XAI(api_key="...", deadline_hours=48)

Settings: `XAI_API_KEY`, `XAI_BASE_URL`, `XAI_DEADLINE_HOURS`, `XAI_SETTLE_SECONDS`. Facts: xAI's batch
guide and live answers of 2026-08 and 2026-09, 2026-11.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import orjson
from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import xai
from batchframe.dialects.dialect import Dialect
from batchframe.errors import ProviderUnavailableError, UnsupportedError
from batchframe.model import (
    Brought,
    Connection,
    Endpoint,
    Limits,
    Part,
    Patience,
    Phase,
    Progress,
    Ticket,
)
from batchframe.providers.account import Account, bearer, connection, key_help
from batchframe.providers.listing import Twin, chosen
from batchframe.providers.rest import NotThereError, NotWholeError, RefusedError, Rest, is_full
from batchframe.redact import redact

LOG = logging.getLogger(__name__)

NAME = "xai"
KEY = "XAI_API_KEY"
HELP = key_help(KEY)

LIMITS = Limits(
    requests=50_000,
    bytes=200_000_000,
    source="xAI's batch guide: 50,000 requests, 200 MB a file, 25 MB a request",
    as_of="2026-11-23",
    line_bytes=25_000_000,
)

MODELS = ("grok-4.3", "grok-4.20", "grok-4.20-reasoning", "grok-4.20-non-reasoning")
"""To suggest; no others were batchable in 2026-11."""

PAGE = 1000
"""Results on a page, at most."""

LISTED = 100
"""Batches on a page of the list."""

SETTLE_SECONDS = 20.0
"""For so long counters of a cancelled batch were seen to change back (2026-09)."""

BAD_KEY = ("incorrect api key", "invalid api key")
NO_MONEY = ("used all available credits", "monthly spending limit", "doesn't have any credits")
"""What refusals have in them whose HTTP status (400, 403 or 429) does not say what they mean."""

_DAY = 86_400.0
_HOUR = 3600.0
_LOOK = "look at the batch"
_RESULTS = "results.jsonl"
_MOST_STATE = 80


class Settings(Account):
    """What an account at xAI has beside a key.

    Args:
        deadline_hours: After so many hours a batch that still has requests pending is cancelled: some
            were seen to hang for ever. None: when it expires (30 days).
        settle_seconds: How long the counters of a batch must stay the same before they are believed,
            where it was cancelled or has fewer requests than were sent.
    """

    model_config = SettingsConfigDict(env_prefix="XAI_")

    base_url: str = "https://api.x.ai/v1"
    deadline_hours: float | None = Field(None, gt=0)
    settle_seconds: float = Field(SETTLE_SECONDS, ge=0)

    @field_validator("base_url")
    @classmethod
    def _versioned(cls, url: str) -> str:
        root = url.strip().rstrip("/").removesuffix("/v1")
        return f"{root}/v1"


def XAI(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    deadline_hours: float | None = None,
    settle_seconds: float | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> XAIProvider:
    """Make the provider `xai`.

    Args:
        api_key: The key; by default `XAI_API_KEY`.
        base_url: Where the API begins, with or without `/v1`; by default `XAI_BASE_URL`, else xAI's own.
        deadline_hours: After so many hours a batch that still has requests pending is cancelled; by
            default it is waited for until it expires.
        settle_seconds: How long the counters of a cancelled batch must stay the same; 20 by default.
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made(NAME, locals())
    headers = partial(bearer, account, NAME, KEY)
    rest = Rest(NAME, account.base_url, headers, HELP, BAD_KEY, NO_MONEY)
    return XAIProvider(account=account, rest=rest, headers=headers)


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of a batch, which has no status; None is "it does not say"."""

    total: int | None
    pending: int | None
    good: int | None
    bad: int | None
    cancelled: int | None

    @property
    def answered(self) -> int:
        """How many requests have an answer or an error."""
        return (self.good or 0) + (self.bad or 0)


@dataclass
class XAIProvider:
    """Batches at xAI.

    Args:
        account: The settings.
        rest: The way there.
        headers: Gives the credentials; raises where there are none.
    """

    account: Settings
    rest: Rest
    headers: Callable[[], Mapping[str, str]] = field(repr=False)
    name: str = NAME
    limits: Limits = LIMITS
    _odd: set[str] = field(default_factory=set, repr=False)
    _seen: dict[str, tuple[Counts, float]] = field(default_factory=dict, repr=False)

    @property
    def carries_metadata(self) -> bool:
        """Whether its batches have a place for the user's metadata: they have only a name."""
        return False

    @property
    def poll_seconds(self) -> float:
        """How often a batch is asked for."""
        return self.account.poll_seconds

    @property
    def patience(self) -> Patience:
        """For how long its word is asked for again before it counts."""
        return self.account.patience

    def models(self) -> list[str]:
        """Name the models that have batches; any other name is passed on."""
        return list(MODELS)

    def check(self, model: str, endpoint: Endpoint) -> None:  # noqa: ARG002 - any name is passed on
        """Find out, without network, whether there is a key and the endpoint is known here.

        Raises:
            MissingCredentialsError: No key was found.
            UnsupportedError: It has no such endpoint.
        """
        self.dialect(endpoint)
        self.headers()

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:  # noqa: ARG002 - one way for all
        """Give the way to the synchronous API."""
        return connection(self.account, self.headers(), key_help=self.rest.key_help)

    def dialect(self, endpoint: Endpoint) -> Dialect:
        """Give the words of its batch files; whatever is asked, chat completions come back.

        Raises:
            UnsupportedError: Its batches have no such endpoint.
        """
        if endpoint is not Endpoint.CHAT:
            raise UnsupportedError(
                f"{self.name} has no batches for {endpoint.value}; it has: {Endpoint.CHAT.value}."
            )
        return xai.DIALECT

    # --- the lifecycle

    def upload(self, part: Part, file: Path) -> Ticket:
        """Bring the wire file over."""
        made = self.rest.upload(
            "/files", file, "take the file", fields={"purpose": "batch"}, name=f"{part.key}.jsonl"
        )
        return Ticket(self.name, {"file": _id(made, "id", "file")})

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Make the batch, with the part's key as its name so that it is found again."""
        body = {"name": part.key, "input_file_id": ticket.data["file"]}
        made = self.rest.call("POST", "/batches", "create the batch", json=body, once=True)
        return _ticket(ticket.data, part, _id(made, "batch_id", "batch"))

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Look for the part's batch by its name, in the whole list: its order is nowhere documented."""
        data = ticket.data if ticket else {}
        ours = [batch for batch in self._batches() if batch.get("name") == part.key]
        ours = [batch for batch in ours if not _turned_away(batch)]
        if not ours:
            return None
        first, others = chosen([_twin(batch) for batch in ours])
        for twin in others:  # the same rows would be paid for twice
            LOG.warning("%s: %s is a duplicate of %s and is cancelled", NAME, twin.id, first.id)
            with suppress(RefusedError):  # it has ended meanwhile
                self._cancel(twin.id)
        batch = next(batch for batch in ours if batch["batch_id"] == first.id)
        known = {**data, "file": data.get("file") or batch.get("input_file_id")}
        return _ticket(known, part, first.id)

    def _batches(self) -> Iterator[Mapping[str, Any]]:
        for page in self._pages("/batches", LISTED, "list the batches"):
            batches = page.get("batches")
            for batch in batches if isinstance(batches, list) else []:
                if isinstance(batch, dict) and isinstance(batch.get("batch_id"), str):
                    yield batch

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the batch is; one that is over its deadline is cancelled."""
        batch = self._batch(ticket)
        counts, said = _counts(batch), _said(batch)
        phase = self._phase(batch, counts, ticket)
        over = phase in (Phase.WAITING, Phase.RUNNING) and self._is_over(batch, ticket)
        if over and not batch.get("cancel_time"):
            LOG.warning(
                "%s: %s is over its deadline with %s requests pending and is cancelled",
                NAME, ticket.data["batch"], counts.pending,
            )  # fmt: skip
            with suppress(RefusedError):  # it has ended meanwhile
                self._cancel(ticket.data["batch"])
        elif over and self._is_calm(ticket, counts):
            phase = Phase.ENDED  # not even the cancelling came to an end
        known = counts.good is not None or counts.bad is not None
        return Progress(
            phase,
            total=counts.total,
            done=counts.answered if known else None,
            failed=counts.bad,
            message=said if phase in (Phase.FAILED, Phase.REFUSED) else None,
            # counters of a cancelled batch were seen to change back
            owed=counts.answered if phase is Phase.ENDED and not batch.get("cancel_time") else None,
            unknown=None if counts.pending is not None else str(batch.get("state"))[:_MOST_STATE],
        )

    def _phase(self, batch: Mapping[str, Any], counts: Counts, ticket: Ticket) -> Phase:
        """Tell from the counters what other providers have a status for."""
        if _turned_away(batch):
            return Phase.REFUSED
        if _said(batch) and not counts.answered:
            return Phase.FAILED
        gone = bool(batch.get("cancel_time"))
        if counts.pending is None:
            self._wonder(batch)
            return Phase.WAITING
        if not counts.total and not gone:
            return Phase.WAITING  # the file is still being read
        if counts.pending:
            return Phase.RUNNING if counts.answered else Phase.WAITING
        sent = _whole(ticket.data.get("rows")) or 0
        sure = not gone and (counts.total or 0) >= sent
        return Phase.ENDED if sure or self._is_calm(ticket, counts) else Phase.RUNNING

    def _wonder(self, batch: Mapping[str, Any]) -> None:
        """Log once that a batch has no counters that are known here."""
        odd = redact(str(batch.get("state")), 80)
        if not self._odd:
            self._odd.add(odd)  # once is enough: it is polled for hours
            LOG.warning("%s: the batch state %s is unknown; it is polled on", NAME, odd)

    def _is_calm(self, ticket: Ticket, counts: Counts) -> bool:
        """Whether the counters have stayed the same for long enough to be believed."""
        now = time.monotonic()
        before, since = self._seen.get(ticket.data["batch"], (None, now))
        if before != counts:
            since = now
        self._seen[ticket.data["batch"]] = (counts, since)
        return now - since >= self.account.settle_seconds

    def _is_over(self, batch: Mapping[str, Any], ticket: Ticket) -> bool:
        """Whether the batch is older than the deadline or, without one, has expired."""
        hours, begun = self.account.deadline_hours, _moment(ticket.data.get("intended_at"))
        if hours is not None:
            begun = begun or _moment(batch.get("create_time"))
            return begun is not None and time.time() > begun + hours * _HOUR
        end = _moment(batch.get("expire_time"))
        return end is not None and time.time() > end + _DAY  # it may be a date alone

    def fetch(self, ticket: Ticket, folder: Path) -> Brought:
        """Bring the pages of results as one file; it has its name only when it is whole.

        After each page it is written down where the next one begins, so that what came before is not
        asked for again.
        """
        target = folder / _RESULTS
        if target.exists():
            return Brought([target])
        growing = target.with_name(f"{_RESULTS}.tmp")
        mark = target.with_name(f"{_RESULTS}.mark")
        path = f"{_path(ticket.data['batch'])}/results"
        with growing.open("ab") as out:
            token = _resume(mark, out)
            try:
                self._bring_from(path, token, out, mark)
            except NotThereError:
                return Brought(gone=[f"the results of {ticket.data['batch']}"])
        growing.replace(target)
        mark.unlink(missing_ok=True)
        return Brought([target])

    def _bring_from(self, path: str, token: str | None, out: BinaryIO, mark: Path) -> None:
        """Write the pages from a place on, or all of them where that place is no longer known."""
        try:
            self._bring(path, token, out, mark)
        except RefusedError:
            if token is None:
                raise
            _cut(out, 0)
            self._bring(path, None, out, mark)

    def _bring(self, path: str, token: str | None, out: BinaryIO, mark: Path) -> None:
        """Write all pages from a place on."""
        for page in self._pages(path, PAGE, "give the results", token):
            results = page.get("results")
            if not isinstance(results, list):
                told = f"{NAME} gave a page of results that holds none. What is paid is kept."
                raise NotWholeError(told, "a page without results")
            out.writelines(_line(result) for result in results)
            out.flush()
            os.fsync(out.fileno())
            following = page.get("pagination_token")
            if following:
                _note(mark, str(following), out.tell())

    def _pages(
        self, path: str, size: int, doing: str, token: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Give the pages of a list from a place on."""
        seen: set[str | None] = set()
        while token not in seen:  # a token that comes again would go round for ever
            seen.add(token)
            asked = {"pagination_token": token} if token else {}
            found = self.rest.call("GET", path, doing, params={"limit": size, **asked})
            page: Mapping[str, Any] = found if isinstance(found, dict) else {}
            yield page
            following = page.get("pagination_token")
            if not following:
                return
            token = str(following)

    def cancel(self, ticket: Ticket) -> None:
        """Ask for the end; what is answered is fetched later."""
        self._cancel(ticket.data["batch"])

    def _cancel(self, identity: str) -> None:
        self.rest.call("POST", f"{_path(identity)}:cancel", "cancel the batch")

    def cleanup(self, ticket: Ticket) -> None:
        """Remove the input file; results are the batch's own and go with it after 30 days."""
        if ticket.data.get("file"):
            with suppress(NotThereError):
                path = f"/files/{quote(str(ticket.data['file']), safe='')}"
                self.rest.call("DELETE", path, "delete a file")

    def _batch(self, ticket: Ticket) -> Mapping[str, Any]:
        found = self.rest.call("GET", _path(ticket.data["batch"]), _LOOK)
        return found if isinstance(found, dict) else {}


def _path(identity: str) -> str:
    return f"/batches/{quote(identity, safe='')}"


def _ticket(data: Mapping[str, Any], part: Part, batch: str) -> Ticket:
    return Ticket(NAME, {**data, "batch": batch, "rows": part.rows})


def _counts(batch: Mapping[str, Any]) -> Counts:
    state = batch.get("state")
    state = state if isinstance(state, dict) else {}
    names = ("num_requests", "num_pending", "num_success", "num_error", "num_cancelled")
    return Counts(*(_whole(state.get(name)) for name in names))


def _twin(batch: Mapping[str, Any]) -> Twin:
    counts = _counts(batch)
    over = bool(_said(batch) or batch.get("cancel_time")) or (counts.pending == 0 and counts.total)
    phase = Phase.ENDED if over else Phase.RUNNING
    made = _moment(batch.get("create_time")) or 0.0
    sure = not batch.get("cancel_time")
    return Twin(batch["batch_id"], made, phase, sure and bool(counts.answered), not sure)


def _said(batch: Mapping[str, Any]) -> str | None:
    """Give the sentence with which xAI itself cancelled the batch, if it did."""
    said = batch.get("cancel_by_xai_message")
    return said if isinstance(said, str) and said else None


def _turned_away(batch: Mapping[str, Any]) -> bool:
    """Whether a batch was cancelled because the queue was full: nothing of it ran."""
    return is_full(None, _said(batch) or "") and not _counts(batch).answered


def _line(result: object) -> bytes:
    """Give a result as a line, its id under the name that result files have for it."""
    named = result.get("batch_request_id") if isinstance(result, dict) else None
    if isinstance(result, dict) and isinstance(named, str):
        result = {"custom_id": named, **result}
    try:
        return orjson.dumps(result) + b"\n"
    except TypeError:  # more than 254 levels
        return json.dumps(result).encode() + b"\n"


def _resume(mark: Path, out: BinaryIO) -> str | None:
    """Say where to go on, and cut off what was written after that was noted."""
    try:
        noted = orjson.loads(mark.read_bytes())
        token, size = noted["token"], noted["size"]
        whole = isinstance(token, str) and type(size) is int and 0 < size <= out.tell()
    except (OSError, ValueError, TypeError, KeyError):
        token, size, whole = None, 0, False
    _cut(out, size if whole else 0)
    return str(token) if whole else None


def _cut(out: BinaryIO, size: int) -> None:
    out.truncate(size)
    out.seek(0, os.SEEK_END)


def _note(mark: Path, token: str, size: int) -> None:
    fresh = mark.with_name(f"{mark.name}.tmp")
    fresh.write_bytes(orjson.dumps({"token": token, "size": size}))
    fresh.replace(mark)


def _id(made: object, key: str, what: str) -> str:
    found = made.get(key) if isinstance(made, dict) else None
    if not isinstance(found, str) or not found:
        raise ProviderUnavailableError(f"{NAME} gave a {what} without an id.")
    return found


def _moment(raw: object) -> float | None:
    """Read a time: Unix seconds, or ISO 8601, which may be a date alone."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    try:
        found = dt.datetime.fromisoformat(str(raw))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()


def _whole(raw: object) -> int | None:
    return raw if type(raw) is int and raw >= 0 else None
