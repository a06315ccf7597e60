"""Anything else with an OpenAI surface: vLLM, Ollama, Doubleword, Cerebras, a gateway of your own.

    bf.register(bf.OpenAICompatible("vllm", "http://gpu-7:8000/v1"))
    df.batch.submit(model="vllm/Qwen/Qwen3-8B", prompt="{text}")

Without a batch API of its own (`batch=False`) its batches are managed: the immediate engine sends the rows.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr

from batchframe.dialects import openai
from batchframe.dialects.shown import shown
from batchframe.errors import InputError, MissingCredentialsError
from batchframe.model import Connection, Endpoint, Limits, Part, Patience, Ticket
from batchframe.providers.account import Account, connection
from batchframe.providers.rest import RefusedError, Rest
from batchframe.providers.shaped import Shaped, Surface
from batchframe.redact import remember_headers

LIMITS = Limits(
    requests=50_000,
    bytes=200_000_000,
    source="our choice: the part size of OpenAI's Batch API, for files of a familiar size",
    as_of="2026-11-23",
)

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass
class Server:
    """A server that answers OpenAI-shaped requests now and has no batches.

    Args:
        name: The word before the slash.
        account: Its settings.
        headers: What every request carries.
        known: Models to suggest.
        limits: What one part may hold.
    """

    name: str
    account: Account
    headers: Mapping[str, str] = field(repr=False)
    known: tuple[str, ...] = ()
    limits: Limits = LIMITS

    def models(self) -> list[str]:
        """Name the models that were given; any other name is passed on as it is."""
        return list(self.known)

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Every name is passed on: only the server knows its models."""

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:  # noqa: ARG002 - one way for all
        """Give the way to the server."""
        return connection(self.account, self.headers)


def OpenAICompatible(  # noqa: N802 - users read it as the name of a thing
    name: str,
    base_url: str,
    *,
    api_key: str | None = None,
    batch: bool = False,
    models: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
    window: str = "24h",
    requests_per_batch: int = LIMITS.requests,
    bytes_per_batch: int = LIMITS.bytes,
    queue_tokens: int | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> Server | Shaped:
    """Make a provider of any server with an OpenAI surface; `bf.register(...)` makes it known.

    Args:
        name: The word before the slash in `name/model`: lower-case letters, digits, `-`, `_` and `.`.
        base_url: Where the API begins, usually ending in `/v1`; a name and a password in it are sent as
            a header and shown nowhere.
        api_key: Sent as a bearer token; None: no key is sent.
        batch: Whether it has OpenAI's `/files` and `/batches`; otherwise its batches are managed.
        models: Names to suggest.
        headers: Sent with every request beside the key.
        window: `completion_window` of its batches.
        requests_per_batch: The most requests in one of its batches.
        bytes_per_batch: The most bytes of one of its files.
        queue_tokens: The most prompt tokens that may wait there at once.
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: The name or a setting is not what it must be.
    """
    if not _NAME.fullmatch(str(name)):
        raise InputError(
            f"A provider cannot be called {shown(name)}: use lower-case letters, digits, '-', '_' "
            "and '.', beginning with a letter, as in 'vllm'."
        )
    given = {key: value for key, value in locals().items() if key != "name"}
    given["base_url"], basic = _parted(base_url)
    account = _Unnamed.made(name, given)
    sent = _sent(name, account, basic)
    remember_headers(sent)
    rest = Rest(
        name, account.base_url, lambda: sent, "Give bf.OpenAICompatible(api_key=...) a valid key."
    )
    limits = Limits(
        account.requests_per_batch, account.bytes_per_batch, LIMITS.source, LIMITS.as_of,
        queue_tokens=account.queue_tokens,
    )  # fmt: skip
    if not account.batch:
        return Server(name, account, sent, account.models, limits)
    surface = Surface(
        endpoints={each: each.value for each in Endpoint},
        dialects=dict.fromkeys(Endpoint, openai.DIALECT),
        window=account.window,
    )
    return Batches(
        name=name,
        account=account,
        surface=surface,
        limits=limits,
        rest=rest,
        known=account.models,
        ready=lambda: None,
        headers=lambda: sent,
    )


@dataclass
class Batches(Shaped):
    """OpenAI's shape at a server that was said to have batches; one that has none says so at once."""

    def upload(self, part: Part, file: Path) -> Ticket:
        """Bring the wire file over."""
        with self._having():
            return super().upload(part, file)

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Make the batch."""
        with self._having():
            return super().create(part, ticket)

    @contextmanager
    def _having(self) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            if error.status not in _NO_SUCH_PATH:
                raise
            raise type(error)(
                f"{error} A server without /files and /batches is registered with batch=False, and its "
                f"rows are sent one by one: bf.register(bf.OpenAICompatible({self.name!r}, "
                f"{self.account.base_url!r}, batch=False)).",
                error.status,
                error.code,
            ) from error


_NO_SUCH_PATH = frozenset({404, 405, 501})
"""What servers say of a path that they do not have."""


class _Unnamed(Account):
    """Settings that come from arguments alone: no vendor has given them variables."""

    batch: bool = False
    models: tuple[str, ...] = ()
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    window: str = "24h"
    requests_per_batch: int = Field(LIMITS.requests, gt=0, strict=True)
    bytes_per_batch: int = Field(LIMITS.bytes, gt=0, strict=True)
    queue_tokens: int | None = Field(None, gt=0, strict=True)

    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, *others, **named):  # type: ignore[no-untyped-def]  # noqa: ANN206, ANN001, ANN002, ANN003, ARG003
        return (init_settings,)


def _parted(base_url: object) -> tuple[object, str | None]:
    """Part an address from the name and password in it, which become a `Basic` header.

    >>> _parted("http://me:secret@gw/v1")
    ('http://gw/v1', 'Basic bWU6c2VjcmV0')
    >>> _parted("http://gw/v1")
    ('http://gw/v1', None)
    """
    if not isinstance(base_url, str) or "@" not in (parts := urlsplit(base_url)).netloc:
        return base_url, None
    user, _, place = parts.netloc.rpartition("@")
    pair = ":".join(unquote(one) for one in user.partition(":")[::2])
    return urlunsplit(parts._replace(netloc=place)), f"Basic {b64encode(pair.encode()).decode()}"


def _sent(name: str, account: _Unnamed, basic: str | None) -> dict[str, str]:
    """Give what every request carries; of two credentials in one header neither would arrive."""
    sent = {key: value.get_secret_value() for key, value in account.headers.items()}
    key = account.api_key.get_secret_value().strip() if account.api_key else None
    if key == "":
        raise MissingCredentialsError(
            f"api_key= of {name} is blank. Give it a key, or leave it away where none is needed."
        )
    ways = [f"Bearer {key}" if key else None, basic]
    ways += [value for header, value in sent.items() if header.lower() == "authorization"]
    given = [way for way in ways if way]
    if len(given) > 1:
        raise InputError(
            f"{name} got several credentials, and a request carries one: api_key=, a name and password "
            "in base_url=, or an authorization header. Give only one of them."
        )
    return sent if not given else {**_without(sent), "authorization": given[0]}


def _without(sent: Mapping[str, str]) -> dict[str, str]:
    return {header: value for header, value in sent.items() if header.lower() != "authorization"}
