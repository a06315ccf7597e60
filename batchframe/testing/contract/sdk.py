"""Judges that nobody here wrote: the openai SDK's own types, strict, with no key that they do not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchframe.model import Endpoint

Fault = tuple[str, str]
"""Where in a body, and what is wrong there."""


def _request_type(endpoint: Endpoint) -> Any:
    from openai.types import embedding_create_params, moderation_create_params  # noqa: PLC0415
    from openai.types.chat import completion_create_params  # noqa: PLC0415 - an SDK of tests only
    from openai.types.responses import response_create_params  # noqa: PLC0415

    return {
        Endpoint.CHAT: completion_create_params.CompletionCreateParamsNonStreaming,
        Endpoint.RESPONSES: response_create_params.ResponseCreateParamsNonStreaming,
        Endpoint.EMBEDDINGS: embedding_create_params.EmbeddingCreateParams,
        Endpoint.MODERATIONS: moderation_create_params.ModerationCreateParams,
    }[endpoint]


def _answer_type(endpoint: Endpoint) -> Any:
    from openai.types import CreateEmbeddingResponse, ModerationCreateResponse  # noqa: PLC0415
    from openai.types.chat import ChatCompletion  # noqa: PLC0415
    from openai.types.responses import Response  # noqa: PLC0415

    return {
        Endpoint.CHAT: ChatCompletion,
        Endpoint.RESPONSES: Response,
        Endpoint.EMBEDDINGS: CreateEmbeddingResponse,
        Endpoint.MODERATIONS: ModerationCreateResponse,
    }[endpoint]


def request_faults(endpoint: Endpoint, body: Mapping[str, Any]) -> list[Fault]:
    """Find what the SDK's types have against a request body.

    Args:
        endpoint: What the body is for.
        body: With its model; parameters of the provider's own are left out by the caller.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    adapter = TypeAdapter(_request_type(endpoint))
    try:
        drain(adapter.validate_python(dict(body), strict=True, extra="forbid"))
    except ValidationError as error:
        return _told(error)
    return []


def answer_faults(endpoint: Endpoint, body: Mapping[str, Any]) -> list[Fault]:
    """Find what the SDK's types have against an answer as we keep it."""
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        _answer_type(endpoint).model_validate(dict(body), strict=True, extra="forbid")
    except ValidationError as error:
        return _told(error)
    return []


def drain(value: object) -> None:
    """Walk through everything: pydantic looks at an `Iterable[...]` only while it is walked."""
    if isinstance(value, str | bytes):
        return
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, Iterable):
        for one in value:
            drain(one)


def _told(error: Any) -> list[Fault]:
    return [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
