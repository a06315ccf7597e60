"""Fireworks: jobs over datasets, under an id that we choose, half the price; deleting is cancelling.

    bf.Fireworks(api_key="...", account_id="my-account")

Settings: `FIREWORKS_API_KEY`, `FIREWORKS_ACCOUNT_ID`, `FIREWORKS_BASE_URL`, `FIREWORKS_DATASET_BYTES`.
Facts: Fireworks' SDK 1.2, API reference and batch guide, 2026-11.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import fireworks
from batchframe.dialects.dialect import Dialect
from batchframe.errors import (
    MissingCredentialsError,
    ProviderError,
    ProviderUnavailableError,
    UnsupportedError,
)
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
    Usage,
)
from batchframe.providers.account import Account, bearer, key_help
from batchframe.providers.rest import NotThereError, RefusedError, Rest, is_full
from batchframe.providers.results import bring
from batchframe.redact import redact

LOG = logging.getLogger(__name__)

NAME = "fireworks"
KEY = "FIREWORKS_API_KEY"
ACCOUNT = "FIREWORKS_ACCOUNT_ID"
HELP = f"{key_help(KEY)} And {ACCOUNT} names the account that it is of."

LIMITS = Limits(
    requests=1_000_000,
    bytes=500_000_000,
    source="Fireworks' batch guide: datasets of at most 500 MB (another version of the page says 1 GB, "
    "so it is a setting); it names no number of requests, this one is ours",
    as_of="2026-11-27",
)

DIRECT_BYTES = 150_000_000
"""Up to here a file goes up in one call, above it to a signed address: "up to 150Mb" (API reference,
upload-dataset-files, and SDK 1.2, 2026-11). Of MB and MiB this is the smaller.
"""

MODELS = (
    "accounts/fireworks/models/llama-v3p3-70b-instruct",
    "accounts/fireworks/models/gpt-oss-20b",
    "accounts/fireworks/models/gpt-oss-120b",
)
"""A few, to suggest; whether a model has batches stands in its metadata (`batch_inference_supported`)."""

PHASES: Mapping[str, Phase] = {
    "UNSPECIFIED": Phase.WAITING,
    "CREATING": Phase.WAITING,
    "CREATING_INPUT_DATASET": Phase.WAITING,
    "VALIDATING": Phase.WAITING,
    "PENDING": Phase.WAITING,
    "RE_QUEUEING": Phase.WAITING,
    "IDLE": Phase.WAITING,
    "PAUSED": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "WRITING_RESULTS": Phase.RUNNING,
    "CANCELLING": Phase.RUNNING,
    "DELETING": Phase.RUNNING,
    "DELETING_CLEANING_UP": Phase.RUNNING,
    "COMPLETED": Phase.ENDED,
    "EXPIRED": Phase.ENDED,
    "EARLY_STOPPED": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
    "FAILED": Phase.FAILED,
}
"""All 18 states of SDK 1.2 without their `JOB_STATE_`; any other one is WAITING."""

NO_MONEY = ("suspended, possibly due to reaching the monthly spending limit",)
"""What the refusal (HTTP 412) of an account without money has in it (answers of 2026-07 and 2026-09)."""

SIGNED_HEADERS = "x-goog-signedheaders"
"""The member of a signed address's query, in small letters, that names the headers it was signed with."""

FRESH_SECONDS = 120.0
"""For so long after its creation a job that is not there may yet appear."""

DATASET_SECONDS = 600.0
"""How long a dataset may take to be ready."""

LONGEST_ID = 63
"""Characters of an id, which are small letters, digits and hyphens, a letter first."""

_ROOM = 8  # for the ends of names that are made of an id: -in, -out, -r123
_MOST_TURNS = 1000
_MOST_STATE = 40
_CONFLICT = 409


class Settings(Account):
    """What an account at Fireworks has beside a key.

    Args:
        account_id: The account that the key is of; `accounts/x` and `x` are the same.
        dataset_bytes: The most that one job's dataset may have. Versions of Fireworks' own page say
            500 MB and 1 GB; the smaller one is taken unless told.
    """

    model_config = SettingsConfigDict(env_prefix="FIREWORKS_")

    base_url: str = "https://api.fireworks.ai"
    account_id: str = Field("", max_length=200)
    dataset_bytes: int = Field(LIMITS.bytes, ge=1)

    @field_validator("base_url")
    @classmethod
    def _root(cls, url: str) -> str:
        """Take off what other clients want at the end: batches and inference live side by side."""
        root = url.strip().rstrip("/")
        return root.removesuffix("/v1").removesuffix("/inference")

    @field_validator("account_id")
    @classmethod
    def _bare(cls, account: str) -> str:
        return account.strip().removeprefix("accounts/").strip("/")


def Fireworks(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    account_id: str | None = None,
    base_url: str | None = None,
    dataset_bytes: int | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> FireworksProvider:
    """Make the provider `fireworks`.

    Args:
        api_key: The key; by default `FIREWORKS_API_KEY`.
        account_id: The account that the key is of; by default `FIREWORKS_ACCOUNT_ID`.
        base_url: Where the API begins, with or without `/inference/v1`; by default
            `FIREWORKS_BASE_URL`, else Fireworks' own.
        dataset_bytes: The most that one job's dataset may have; by default `FIREWORKS_DATASET_BYTES`,
            else 500,000,000. Versions of Fireworks' own page say 500 MB and 1 GB.
        poll_seconds: How often a job is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made(NAME, locals())
    headers = partial(bearer, account, NAME, KEY)
    rest = Rest(NAME, account.base_url, headers, HELP, no_money=NO_MONEY)
    limits = replace(LIMITS, bytes=account.dataset_bytes)
    return FireworksProvider(account=account, rest=rest, headers=headers, limits=limits)


@dataclass
class FireworksProvider:
    """Batch inference jobs at Fireworks.

    Everything there has an id that is made of the part's key, so that it is found without a list.

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
    _deleted: set[str] = field(default_factory=set, repr=False)

    @property
    def carries_metadata(self) -> bool:
        """Whether its batches have a place for the user's metadata: they have only a name."""
        return False

    @property
    def poll_seconds(self) -> float:
        """How often a job is asked for."""
        return self.account.poll_seconds

    @property
    def patience(self) -> Patience:
        """For how long its word is asked for again before it counts."""
        return self.account.patience

    def models(self) -> list[str]:
        """Name some models; any other name is passed on, a bare one as Fireworks' own."""
        return list(MODELS)

    def check(self, model: str, endpoint: Endpoint) -> None:  # noqa: ARG002 - any name is passed on
        """Find out, without network, whether there are a key and an account, and the endpoint is known.

        Raises:
            MissingCredentialsError: No key or no account was found.
            UnsupportedError: It has no such endpoint.
        """
        self.dialect(endpoint)
        self.headers()
        self._home()

    def request_model(self, model: str) -> str:
        """Give a model's name as a request carries it: jobs and requests want the whole path."""
        return model_path(model)

    @contextmanager
    def connect(self, model: str, endpoint: Endpoint) -> Iterator[Connection]:  # noqa: ARG002 - one way for all
        """Give the way to the synchronous API."""
        url = f"{self.account.base_url}/inference/v1"
        yield Connection(
            url, dict(self.headers()), timeout=self.account.timeout, key_help=self.rest.key_help
        )

    def dialect(self, endpoint: Endpoint) -> Dialect:
        """Give the words of its batch files.

        Raises:
            UnsupportedError: Its batches have no such endpoint.
        """
        if endpoint is not Endpoint.CHAT:
            raise UnsupportedError(
                f"{self.name} has no batches for {endpoint.value}; it has: {Endpoint.CHAT.value}."
            )
        return fireworks.DIALECT

    # --- the lifecycle

    def upload(self, part: Part, file: Path) -> Ticket:
        """Make a dataset of the wire file; one that is ready already is the same file."""
        name = f"{identity_of(part.key)}-in"
        told = {"userUploaded": {}, "exampleCount": str(part.rows)}
        body = {"datasetId": name, "dataset": told}
        try:
            self.rest.call("POST", self._path("datasets"), "make a dataset", json=body)
            state = None
        except RefusedError as error:
            if error.status != _CONFLICT:
                raise
            state = self._dataset(name).get("state")
        if state != "READY":
            self._fill(name, file)
            self._await_dataset(name)
        return Ticket(self.name, {"dataset": name, "account": self.account.account_id})

    def _fill(self, name: str, file: Path) -> None:
        path, called = self._path("datasets", name), f"{name}.jsonl"
        size = file.stat().st_size
        if size <= DIRECT_BYTES:
            self.rest.upload(f"{path}:upload", file, "take the file", fields={}, name=called)
            return
        asked = {"filenameToSize": {called: str(size)}}
        made = self.rest.call(
            "POST", f"{path}:getUploadEndpoint", "say where the file goes", json=asked
        )
        url = _urls(made).get(called)
        if url is None:
            raise ProviderUnavailableError(f"{NAME} did not say where the file goes.")
        self.rest.put(url, file, "take the file", headers=_signed(url, size))
        self.rest.call("POST", f"{path}:validateUpload", "look at the file", json={})

    def _await_dataset(self, name: str) -> None:
        """Wait until a dataset is ready: a job on it would be refused before."""
        until = time.monotonic() + DATASET_SECONDS
        while True:
            dataset = self._dataset(name)
            code, said = _status(dataset)
            if dataset.get("state") == "READY":
                return
            if code not in (None, "OK"):
                raise ProviderError(f"{NAME} did not accept the file: {redact(str(said or code))}.")
            if time.monotonic() > until:
                raise ProviderUnavailableError(
                    f"{NAME} has not made the dataset {name} ready in {DATASET_SECONDS / 60:.0f} minutes."
                )
            time.sleep(min(self.poll_seconds, 5.0))

    def _dataset(self, name: str) -> Mapping[str, Any]:
        return _object(self.rest.call("GET", self._path("datasets", name), "look at the dataset"))

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Make the job, under an id that cannot be given twice.

        Where a full queue turned a job away its id stays taken, so the next one has a number. A job
        that is refused as one too many but not shown was made a moment ago.
        """
        self._stays(ticket)
        for turn in range(_turn(ticket), _MOST_TURNS):
            job = _job_id(part, turn)
            body = {
                "displayName": part.key,
                "model": model_path(part.model.name),
                "inputDatasetId": self._full("datasets", ticket.data["dataset"]),
                "outputDatasetId": self._full("datasets", f"{job}-out"),
            }
            made = Ticket(self.name, {**ticket.data, "batch": job, "turn": turn})
            try:
                self.rest.call(
                    "POST", self._path("batchInferenceJobs"), "create the job",
                    json=body, params={"batchInferenceJobId": job}, once=True,
                )  # fmt: skip
            except RefusedError as error:
                if error.status != _CONFLICT:
                    raise
                known = self._job(job)
                if known is not None and _turned_away(known):
                    continue
            return made
        raise ProviderError(f"{NAME} turned this batch away {_MOST_TURNS} times.")

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Look for the part's job under the ids that it may have."""
        data = ticket.data if ticket else {"account": self.account.account_id}
        self._stays(ticket)
        for turn in range(_turn(ticket), _MOST_TURNS):
            name = _job_id(part, turn)
            job = self._job(name)
            if job is None:
                return None
            if not _turned_away(job):
                dataset = data.get("dataset") or f"{identity_of(part.key)}-in"
                return Ticket(self.name, {**data, "dataset": dataset, "batch": name, "turn": turn})
        return None

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the job is; one that is not there any more has ended."""
        self._stays(ticket)
        name = ticket.data["batch"]
        job = self._job(name)
        if job is None:
            age = time.time() - _moment(ticket.data.get("intended_at"))
            fresh = name not in self._deleted and age < FRESH_SECONDS
            return Progress(Phase.WAITING if fresh else Phase.ENDED)
        phase, state = Phase.REFUSED if _turned_away(job) else self._phase(job), _state(job)
        progress = _object(job.get("jobProgress"))
        good, bad, done = (
            _whole(progress.get(name))
            for name in (
                "successfullyProcessedRequests", "failedRequests", "totalProcessedRequests",
            )
        )  # fmt: skip
        if done is None and (good is not None or bad is not None):
            done = (good or 0) + (bad or 0)
        return Progress(
            phase,
            total=_whole(progress.get("totalInputRequests")) or None,
            done=done,
            failed=bad,
            usage=Usage(
                input=_whole(progress.get("inputTokens")),
                output=_whole(progress.get("outputTokens")),
                cached=_whole(progress.get("cachedInputTokenCount")),
            ),
            message=_message(job) if phase in (Phase.FAILED, Phase.REFUSED) else None,
            owed=(done or 1) if state == "COMPLETED" else None,
            unknown=None if state in PHASES else state[:_MOST_STATE],
        )

    def _phase(self, job: Mapping[str, Any]) -> Phase:
        state = _state(job)
        if state not in PHASES and state not in self._odd:
            self._odd.add(state)  # once is enough: it is polled for hours
            told = redact(str(job.get("state", "")).removeprefix("JOB_STATE_"), 40)
            LOG.warning("%s: the job state %r is unknown; it is polled on", NAME, told)
        return PHASES.get(state, Phase.WAITING)

    def fetch(self, ticket: Ticket, folder: Path) -> Brought:
        """Bring all files of the job's result dataset, errors too; a job may have left none."""
        self._stays(ticket)
        name = ticket.data["batch"]
        job = self._job(name)
        dataset = _results(name, job)
        path = f"{self._path('datasets', dataset)}:getDownloadEndpoint"
        try:
            urls = _urls(self.rest.call("GET", path, "say where the results are"))
        except NotThereError:
            done = job is not None and _state(job) == "COMPLETED"
            return Brought(gone=[dataset] if done else [])
        return bring(
            [
                (name, partial(self._download, url, folder / _file_name(name)))
                for name, url in sorted(urls.items())
            ]
        )

    def _download(self, url: str, target: Path) -> Path:
        """Bring a file from its signed address, whose signature is in the query."""
        bare, _, query = url.partition("?")
        signed = dict(parse_qsl(query, keep_blank_values=True))
        return self.rest.download(bare, target, "give the result file", params=signed)

    def cancel(self, ticket: Ticket) -> None:
        """Delete the job, which is the only way to stop it here."""
        self._stays(ticket)
        name = ticket.data["batch"]
        with suppress(NotThereError):
            self.rest.call("DELETE", self._path("batchInferenceJobs", name), "cancel the job")
        self._deleted.add(name)

    def cleanup(self, ticket: Ticket) -> None:
        """Remove the input and the result dataset; what is gone already is fine."""
        self._stays(ticket)
        names = [ticket.data["dataset"]] if ticket.data.get("dataset") else []
        if ticket.data.get("batch"):
            names.append(_results(ticket.data["batch"], self._job(ticket.data["batch"])))
        for name in names:
            with suppress(NotThereError):
                self.rest.call("DELETE", self._path("datasets", name), "delete a dataset")

    def _job(self, name: str) -> Mapping[str, Any] | None:
        try:
            path = self._path("batchInferenceJobs", name)
            return _object(self.rest.call("GET", path, "look at the job"))
        except NotThereError:
            return None

    # --- names

    def _stays(self, ticket: Ticket | None) -> None:
        """See to it that the account is the job's own: in another one it seems not to exist."""
        account = ticket.data.get("account") if ticket else None
        if account and account != self.account.account_id:
            raise ProviderError(
                f"{NAME} has this batch in the account {account!r}, and the settings name "
                f"{self.account.account_id!r}. Type: export {ACCOUNT}={account} (in a notebook: "
                f"%env {ACCOUNT}={account}), then make the call again in a new process."
            )

    def _home(self) -> str:
        if not self.account.account_id:
            raise MissingCredentialsError(
                f"{NAME} needs an account id, and none was found. Type: export {ACCOUNT}=... (in a "
                f"notebook: %env {ACCOUNT}=...), then make the call again in a new process."
            )
        return f"accounts/{quote(self.account.account_id, safe='')}"

    def _full(self, *names: str) -> str:
        """Give a resource's name."""
        return "/".join((self._home(), *(quote(name, safe="") for name in names)))

    def _path(self, *names: str) -> str:
        return f"/v1/{self._full(*names)}"


def model_path(name: str) -> str:
    """Give a model as jobs name it.

    >>> model_path("llama-v3p3-70b-instruct")
    'accounts/fireworks/models/llama-v3p3-70b-instruct'
    >>> model_path("accounts/me/models/mine")
    'accounts/me/models/mine'
    """
    return name if "/" in name else f"accounts/fireworks/models/{name}"


def identity_of(key: str) -> str:
    """Make an id of a part's key: the same for the same key, another one for any other.

    >>> identity_of("j-1f3a-0-9c2b77aa")
    'bf-j-1f3a-0-9c2b77aa'
    >>> identity_of("Ünsafe")
    'bf-nsafe-eb6c2d0b267c'
    """
    whole = f"bf-{key}"
    most = LONGEST_ID - _ROOM
    if len(whole) <= most and re.fullmatch(r"[a-z0-9-]*[a-z0-9]", whole):
        return whole
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    plain = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    plain = re.sub(r"^bf-+", "bf-", plain)[: most - len(digest) - 1].rstrip("-")
    return f"{plain}-{digest}"


def _job_id(part: Part, turn: int) -> str:
    name = identity_of(part.key)
    return f"{name}-r{turn}" if turn else name


def _turn(ticket: Ticket | None) -> int:
    """Say how many jobs of a part a full queue turned away before."""
    return (_whole(ticket.data.get("turn")) or 0) if ticket else 0


def _results(name: str, job: Mapping[str, Any] | None) -> str:
    """Name a job's result dataset: what the job itself says, as long as there is one."""
    said = job.get("outputDatasetId") if job else None
    short = said.rpartition("/")[2] if isinstance(said, str) else ""
    return short or f"{name}-out"


def _state(job: Mapping[str, Any]) -> str:
    return str(job.get("state", "")).upper().removeprefix("JOB_STATE_")


def _turned_away(job: Mapping[str, Any]) -> bool:
    """Whether a job failed because the queue was full: nothing of it ran."""
    code, said = _status(job)
    failed = str(job.get("state", "")).upper() == "JOB_STATE_FAILED"
    return failed and is_full(code, said or "")


def _status(found: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Read code and message of a job's or a dataset's `status`."""
    status = _object(found.get("status"))
    code, said = status.get("code"), status.get("message")
    return (
        code if isinstance(code, str) and code else None,
        said if isinstance(said, str) and said else None,
    )


def _message(job: Mapping[str, Any]) -> str | None:
    code, said = _status(job)
    told = ": ".join(word for word in (None if code == "OK" else code, said) if word)
    return told or None


def _urls(found: object) -> dict[str, str]:
    """Read file names and their signed addresses.

    Raises:
        ProviderUnavailableError: It is no such answer; none at all is one.
    """
    urls = found.get("filenameToSignedUrls") or {} if isinstance(found, dict) else None
    if not isinstance(urls, dict):
        raise ProviderUnavailableError(f"{NAME} did not say where its files are.")
    return {
        name: url
        for name, url in urls.items()
        if isinstance(url, str) and url.startswith(("https://", "http://"))
    }


def _signed(url: str, size: int) -> dict[str, str]:
    """Give the headers that a signed address was signed with; where it names none, all that it may be.

    >>> _signed("https://s/x?X-Goog-SignedHeaders=content-type%3Bhost", 3)
    {'content-type': 'application/octet-stream'}
    """
    headers = {
        "content-type": "application/octet-stream",
        "x-goog-content-length-range": f"{size},{size}",
    }
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    named = query.get(SIGNED_HEADERS, "").lower().split(";")
    # the store refuses headers of its own that were not signed
    return {name: value for name, value in headers.items() if named == [""] or name in named}


def _file_name(name: str) -> str:
    """Give a safe name of a result file of our own, the same each time, another one for each file.

    >>> _file_name("dataset/bf-x-out/BIJOutputSet.jsonl")
    'BIJOutputSet-3aa9a1.jsonl'
    """
    last = name.rpartition("/")[2].removesuffix(".jsonl")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", last)[:40].strip("-") or "results"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}.jsonl"


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _whole(raw: object) -> int | None:
    """Read a count; gRPC's JSON writes those of 64 bits as text."""
    if isinstance(raw, str) and raw.isdecimal() and len(raw) < 20:  # noqa: PLR2004 - 64 bits
        return int(raw)
    return raw if type(raw) is int and raw >= 0 else None


def _moment(raw: object) -> float:
    return float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else 0.0
