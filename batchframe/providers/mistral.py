"""Mistral: jobs over files, the model on the job, 24 hours or up to seven days, half the price.

    bf.Mistral(api_key="...", timeout_hours=48)

Settings: `MISTRAL_API_KEY`, `MISTRAL_BASE_URL`, `MISTRAL_TIMEOUT_HOURS`. Facts: Mistral's SDK 3.7 and
batch page, 2026-11.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import mistral
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
from batchframe.providers.listing import Twin, chosen, is_past
from batchframe.providers.reasons import reasons
from batchframe.providers.rest import NotThereError, RefusedError, Rest, is_full
from batchframe.providers.results import bring, size_of
from batchframe.redact import redact

LOG = logging.getLogger(__name__)

NAME = "mistral"
KEY = "MISTRAL_API_KEY"

TAG = "batchframe"
"""The metadata key under which a job of ours carries its part's key."""

MOST_METADATA = 16
"""Pairs that a job's metadata may hold; Mistral names no number, this is OpenAI's."""

LIMITS = Limits(
    requests=1_000_000,
    bytes=512_000_000,
    source="Mistral's batch page: 1,000,000 requests a job; its files API: 512 MB a file",
    as_of="2026-11-23",
)

DIALECTS: Mapping[Endpoint, Dialect] = dict.fromkeys(
    (Endpoint.CHAT, Endpoint.EMBEDDINGS, Endpoint.MODERATIONS), mistral.DIALECT
)

MODELS = ("mistral-small-latest", "mistral-medium-latest", "mistral-large-latest", "mistral-embed")
"""A few, to suggest."""

PHASES: Mapping[str, Phase] = {
    "QUEUED": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "SUCCESS": Phase.ENDED,
    "FAILED": Phase.FAILED,
    "TIMEOUT_EXCEEDED": Phase.ENDED,
    "CANCELLATION_REQUESTED": Phase.RUNNING,
    "CANCELLED": Phase.ENDED,
}
"""All statuses of SDK 3.7; any other one is WAITING."""

SKEW_SECONDS = 3600.0
"""How far Mistral's clock may be from ours when jobs are looked for by their age."""

PAGE = 100

_RESULT_FILES = ("output_file", "error_file")
_MOST_CAUSES = 3
_MOST_STATUS = 40
_LOOK = "look at the job"


class Settings(Account):
    """What an account at Mistral has beside a key.

    Args:
        timeout_hours: How long a job may take; what is not answered by then stays unanswered.
    """

    model_config = SettingsConfigDict(env_prefix="MISTRAL_")

    base_url: str = "https://api.mistral.ai/v1"
    timeout_hours: int = Field(24, ge=1, le=168)

    @field_validator("base_url")
    @classmethod
    def _versioned(cls, url: str) -> str:
        """Bring the address to one form: Mistral's own clients want it without `/v1`."""
        root = url.strip().rstrip("/").removesuffix("/v1")
        return f"{root}/v1"


def Mistral(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    timeout_hours: int | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> MistralProvider:
    """Make the provider `mistral`.

    Args:
        api_key: The key; by default `MISTRAL_API_KEY`.
        base_url: Where the API begins, with or without `/v1`; by default `MISTRAL_BASE_URL`, else
            Mistral's own.
        timeout_hours: How long a job may take, from 1 to 168 hours; 24 by default.
        poll_seconds: How often a job is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made(NAME, locals())
    headers = partial(bearer, account, NAME, KEY)
    rest = Rest(NAME, account.base_url, headers, key_help(KEY))
    return MistralProvider(account=account, rest=rest, headers=headers)


@dataclass
class MistralProvider:
    """Jobs at Mistral.

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

    @property
    def poll_seconds(self) -> float:
        """How often a job is asked for."""
        return self.account.poll_seconds

    @property
    def patience(self) -> Patience:
        """For how long its word is asked for again before it counts."""
        return self.account.patience

    def models(self) -> list[str]:
        """Name some models; any other name is passed on as it is."""
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
        """Give the words of its batch files.

        Raises:
            UnsupportedError: Its batches have no such endpoint.
        """
        if endpoint not in DIALECTS:
            known = ", ".join(each.value for each in DIALECTS)
            raise UnsupportedError(
                f"{self.name} has no batches for {endpoint.value}; it has: {known}."
            )
        return DIALECTS[endpoint]

    # --- the lifecycle

    def upload(self, part: Part, file: Path) -> Ticket:
        """Bring the wire file over."""
        made = self.rest.upload(
            "/files", file, "take the file", fields={"purpose": "batch"}, name=f"{part.key}.jsonl"
        )
        return Ticket(self.name, {"file": _id(made, "file")})

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Make the job, with the part's key in its metadata so that it is found again."""
        ours = {TAG: part.key, "job": part.job_id, "part": str(part.number)}
        body = {
            "input_files": [ticket.data["file"]],
            "endpoint": part.endpoint.value,
            "model": part.model.name,
            "timeout_hours": self.account.timeout_hours,
            "metadata": dict([*ours.items(), *part.metadata.items()][:MOST_METADATA]),
        }
        made = self.rest.call("POST", "/batch/jobs", "create the job", json=body, once=True)
        return Ticket(self.name, {**ticket.data, "batch": _id(made, "job")})

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Look for the part's job by its key, first by the list's own filter and then without it.

        What the filter does not find is no proof: jobs are paid for, so the list is read as well.
        """
        data = ticket.data if ticket else {}
        since = _number(data.get("intended_at")) - SKEW_SECONDS
        ours: list[Mapping[str, Any]] = []
        for asked in ({TAG: part.key}, {}):
            ours = [job for job in self._jobs(since, asked) if _is_ours(job, part, data)]
            if ours:
                break
        if not ours:
            return None
        first, others = chosen([self._twin(job) for job in ours])
        for twin in others:  # the same rows would be paid for twice
            LOG.warning("%s: %s is a duplicate of %s and is cancelled", NAME, twin.id, first.id)
            with suppress(RefusedError):  # it has ended meanwhile
                self._cancel(twin.id)
        files = next(job for job in ours if job["id"] == first.id).get("input_files")
        file = data.get("file") or (files[0] if isinstance(files, list) and files else None)
        return Ticket(self.name, {**data, "file": file, "batch": first.id})

    def _twin(self, job: Mapping[str, Any]) -> Twin:
        answers, files = bool(_owed(_status(job), _done(job))), any(map(job.get, _RESULT_FILES))
        return Twin(job["id"], _number(job.get("created_at")), self._phase(job), answers, files)

    def _jobs(self, since: float, asked: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """List jobs, the newest first, as far back as `since`."""
        seen: set[str] = set()
        ages: list[float] = []
        page = 0
        while True:
            params: dict[str, str | int] = {
                "page": page,
                "page_size": PAGE,
                "order_by": "-created",
                **asked,
            }
            found = self.rest.call("GET", "/batch/jobs", "list the jobs", params=params)
            jobs = found.get("data") if isinstance(found, dict) else found
            jobs = [job for job in jobs if _named(job)] if isinstance(jobs, list) else []
            fresh = [job for job in jobs if job["id"] not in seen]
            yield from fresh
            ages += [_number(job.get("created_at")) for job in fresh]
            # a server that knows no pages gives the same one again, and one may ignore the order
            if not fresh or is_past(ages, since):
                return
            seen |= {job["id"] for job in fresh}
            page += 1

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the job is."""
        job = self._job(ticket)
        phase = self._phase(job)
        done, status = _done(job), _status(job)
        return Progress(
            phase,
            total=_whole(job.get("total_requests")),
            done=done,
            failed=_whole(job.get("failed_requests")),
            message=_message(job) if phase in (Phase.FAILED, Phase.REFUSED) else None,
            owed=_owed(status, done),
            unknown=None if status in PHASES else status[:_MOST_STATUS],
        )

    def _phase(self, job: Mapping[str, Any]) -> Phase:
        status = _status(job)
        if status not in PHASES and status not in self._odd:
            self._odd.add(status)  # once is enough: it is polled for hours
            told = redact(str(job.get("status", "")), 40)
            LOG.warning("%s: the job status %r is unknown; it is polled on", NAME, told)
        if _turned_away(job):
            return Phase.REFUSED
        phase = PHASES.get(status, Phase.WAITING)
        answered = _whole(job.get("succeeded_requests"))
        return Phase.ENDED if phase is Phase.FAILED and answered else phase

    def fetch(self, ticket: Ticket, folder: Path) -> Brought:
        """Bring the output and the error file; either may be missing."""
        job = self._job(ticket)
        found = [(kind, job.get(kind)) for kind in _RESULT_FILES]
        named = [(kind, name) for kind, name in found if isinstance(name, str) and name]
        return bring([(name, partial(self._download, name, folder, kind)) for kind, name in named])

    def _download(self, identity: str, folder: Path, kind: str) -> Path:
        target = folder / f"{kind.removesuffix('_file')}.jsonl"
        if target.exists():
            return target
        path = f"/files/{quote(identity, safe='')}"
        size = size_of(
            partial(self.rest.call, "GET", path, "look at the result file"), "size_bytes"
        )
        return self.rest.download(f"{path}/content", target, "give the result file", size=size)

    def cancel(self, ticket: Ticket) -> None:
        """Ask for the end; what is answered is fetched later."""
        self._cancel(ticket.data["batch"])

    def _cancel(self, identity: str) -> None:
        self.rest.call("POST", f"{_path(identity)}/cancel", "cancel the job")

    def cleanup(self, ticket: Ticket) -> None:
        """Remove the input and the result files; what is gone already is fine."""
        files = {ticket.data.get("file")}
        if "batch" in ticket.data:
            with suppress(NotThereError):
                job = self._job(ticket)
                files |= {job[kind] for kind in _RESULT_FILES if isinstance(job.get(kind), str)}
        for identity in filter(None, files):
            with suppress(NotThereError):
                self.rest.call("DELETE", f"/files/{quote(identity, safe='')}", "delete a file")

    def _job(self, ticket: Ticket) -> Mapping[str, Any]:
        found = self.rest.call("GET", _path(ticket.data["batch"]), _LOOK)
        return found if isinstance(found, dict) else {}


def _path(identity: str) -> str:
    return f"/batch/jobs/{quote(identity, safe='')}"


def _is_ours(job: Mapping[str, Any], part: Part, data: Mapping[str, Any]) -> bool:
    if _turned_away(job):
        return False
    metadata, files = job.get("metadata"), job.get("input_files")
    tag = metadata.get(TAG) if isinstance(metadata, dict) else None
    if tag is not None:
        return bool(tag == part.key)
    return data.get("file") is not None and isinstance(files, list) and data["file"] in files


def _named(job: object) -> bool:
    return isinstance(job, dict) and isinstance(job.get("id"), str) and bool(job["id"])


def _status(job: Mapping[str, Any]) -> str:
    return str(job.get("status", "")).upper()


def _done(job: Mapping[str, Any]) -> int | None:
    """Give how many rows have an outcome; None: the job does not say."""
    done = _whole(job.get("completed_requests"))
    good, bad = _whole(job.get("succeeded_requests")), _whole(job.get("failed_requests"))
    if done is None and (good is not None or bad is not None):
        return (good or 0) + (bad or 0)
    return done


def _owed(status: str, done: int | None) -> int | None:
    """Say how many lines a job's files must hold; what was cancelled has no counts to be trusted."""
    if status == "SUCCESS":
        return done or 1  # whatever is not said: no job is without rows
    return done if status == "TIMEOUT_EXCEEDED" else None


def _turned_away(job: Mapping[str, Any]) -> bool:
    """Whether a job failed because the queue was full: nothing of it ran."""
    failed = _status(job) == "FAILED"
    return failed and any(is_full(None, str(cause.get("message"))) for cause in _causes(job))


def _causes(job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return reasons(job.get("errors"))


def _message(job: Mapping[str, Any]) -> str | None:
    """Say why rows failed, the commonest cause first: Mistral gives causes and counts, no line numbers."""
    causes = sorted(_causes(job), key=lambda one: -(_whole(one.get("count")) or 0))
    told = []
    for cause in causes[:_MOST_CAUSES]:
        count = _whole(cause.get("count"))
        told.append(f"{cause.get('message') or 'error'}{f' ({count} times)' if count else ''}")
    if len(causes) > _MOST_CAUSES:
        told.append(f"and {len(causes) - _MOST_CAUSES} other causes")
    return "; ".join(told) or None


def _id(made: object, what: str) -> str:
    if not isinstance(made, dict) or not _named(made):
        raise ProviderUnavailableError(f"{NAME} gave a {what} without an id.")
    return str(made["id"])


def _whole(raw: object) -> int | None:
    return raw if type(raw) is int and raw >= 0 else None


def _number(raw: object) -> float:
    return float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else 0.0
