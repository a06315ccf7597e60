"""Anything else with an OpenAI surface: vLLM, Ollama, Doubleword, Cerebras, a gateway of your own.

    bf.register(bf.OpenAICompatible("vllm", "http://gpu-7:8000/v1"))
    df.batch.submit(model="vllm/Qwen/Qwen3-8B", prompt="{text}")

Without a batch API of its own (`batch=False`) its batches are managed: the immediate engine sends the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pydantic import SecretStr

from batchframe.dialects import openai
from batchframe.dialects.shown import shown
from batchframe.errors import InputError
from batchframe.model import Connection, Endpoint, Limits, Patience
from batchframe.providers.account import Account, connection
from batchframe.providers.rest import Rest
from batchframe.providers.shaped import Shaped, Surface

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
        base_url: Where the API begins, usually ending in `/v1`.
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
    secret = None if api_key is None else SecretStr(api_key)
    given = {"base_url": base_url, "poll_seconds": poll_seconds, "timeout": timeout}
    account = _Unnamed.made(name, {**given, "api_key": secret, "patience": patience})
    sent = {**(headers or {})}
    if account.api_key is not None:
        sent["authorization"] = f"Bearer {account.api_key.get_secret_value()}"
    rest = Rest(name, base_url, lambda: sent, "Give bf.OpenAICompatible(api_key=...) a valid key.")
    limits = Limits(
        requests_per_batch, bytes_per_batch, LIMITS.source, LIMITS.as_of, queue_tokens=queue_tokens
    )
    if not batch:
        return Server(name, account, sent, tuple(models), limits)
    surface = Surface(
        endpoints={each: each.value for each in Endpoint},
        dialects=dict.fromkeys(Endpoint, openai.DIALECT),
        window=window,
    )
    return Shaped(
        name=name,
        account=account,
        surface=surface,
        limits=limits,
        rest=rest,
        known=tuple(models),
        ready=lambda: None,
        headers=lambda: sent,
    )


class _Unnamed(Account):
    """Settings that come from arguments alone: no vendor has given them variables."""

    base_url: str

    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, *others, **named):  # type: ignore[no-untyped-def]  # noqa: ANN206, ANN001, ANN002, ANN003, ARG003
        return (init_settings,)
