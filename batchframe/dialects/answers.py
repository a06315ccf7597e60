"""OpenAI's own result lines as types: a line that fits them is a normal answer by definition.

The types are narrower than the API's: one choice with a text and counted tokens, or one vector of
numbers, and no key that OpenAI's reference does not name (2026-11, openai 3.54). Every other line,
errors first of all, does not fit and is read by the dialect's `decode`. Whoever reads a fitting line
here gets what `dialects.openai.decode` would have said of it, several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

_Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What every reader of JSON takes for a whole number; longer ones become floats in some."""

_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""As in `dialects.openai`: no request holds more tokens."""


class _Exact(Struct, forbid_unknown_fields=True, gc=False):
    """An object of these keys and no others."""


class InputDetails(_Exact):
    """`usage.prompt_tokens_details`."""

    audio_tokens: _Whole | None = None
    cache_write_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    image_tokens: _Whole | None = None
    text_tokens: _Whole | None = None


class OutputDetails(_Exact):
    """`usage.completion_tokens_details`."""

    accepted_prediction_tokens: _Whole | None = None
    audio_tokens: _Whole | None = None
    reasoning_tokens: _Count | None = None
    rejected_prediction_tokens: _Whole | None = None
    text_tokens: _Whole | None = None


class ChatUsage(_Exact):
    """`usage` of a chat completion."""

    completion_tokens: _Count
    prompt_tokens: _Count
    total_tokens: _Whole
    completion_tokens_details: OutputDetails | None = None
    prompt_tokens_details: InputDetails | None = None


class UrlCitation(_Exact):
    """Where a sentence comes from."""

    end_index: _Whole
    start_index: _Whole
    title: str
    url: str


class Annotation(_Exact):
    """One annotation of a message."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class Message(_Exact):
    """A message with a text."""

    role: Literal["assistant"]
    content: str
    refusal: str | None = None
    annotations: list[Annotation] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: tuple[()] | None = None


class TopLogprob(_Exact):
    """One of the likeliest tokens."""

    token: str
    logprob: float
    bytes: list[_Whole] | None = None


class TokenLogprob(_Exact):
    """A token and the likeliest ones in its place."""

    token: str
    logprob: float
    top_logprobs: list[TopLogprob]
    bytes: list[_Whole] | None = None


class Logprobs(_Exact):
    """`logprobs` of a choice."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Choice(_Exact):
    """The one choice."""

    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
    index: _Whole
    message: Message
    logprobs: Logprobs | None = None


class Chat(_Exact, tag_field="object", tag="chat.completion"):
    """A chat completion."""

    id: str
    created: _Whole
    model: str
    choices: tuple[Choice]
    usage: ChatUsage
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    system_fingerprint: str | None = None


class VectorUsage(_Exact):
    """`usage` of an embedding."""

    prompt_tokens: _Count
    total_tokens: _Whole


class Vector(_Exact):
    """One vector."""

    embedding: Annotated[list[float], Meta(min_length=1)]
    index: _Whole
    object: Literal["embedding"]


class Vectors(_Exact, tag_field="object", tag="list"):
    """An embedding of one text."""

    data: tuple[Vector]
    model: str
    usage: VectorUsage


class Response(_Exact):
    """The HTTP answer in a line."""

    status_code: Literal[200]
    body: Chat | Vectors
    request_id: str | None = None


class Line(_Exact):
    """A line of a batch output file."""

    custom_id: str
    response: Response
    id: str | None = None
    error: None = None


class _AnyResponse(_Exact):
    status_code: Literal[200]
    body: msgspec.Raw
    request_id: str | None = None


class _AnyLine(_Exact):
    custom_id: str
    response: _AnyResponse
    id: str | None = None
    error: None = None


read = msgspec.json.Decoder(Line).decode
"""The bytes of a line -> the line; raises one of `MISFITS`."""

MISFITS = (msgspec.MsgspecError, ValueError, RecursionError)
"""What a line raises that is no plain OpenAI answer."""

_bodies = msgspec.json.Decoder(_AnyLine).decode


def body_of(raw: bytes) -> bytes:
    """Give the body of a line that fits, as it is written there.

    >>> body_of(b'{"custom_id":"r0","response":{"status_code":200,"body":{"a": 1}}}')
    b'{"a": 1}'
    """
    return bytes(_bodies(raw).response.body)


Path = tuple[str | int, ...]
"""The members and places that lead to a value in a line."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be that differs from line to line.

    Args:
        whole: A whole number of at most `most`, not negative; otherwise a string.
        most: The largest number.
        escapes: The string may be empty and hold escapes.
    """

    whole: bool = False
    most: int = 0
    escapes: bool = False

    def holds(self, text: bytes) -> bool:
        """Tell whether a value of valid JSON is of this kind.

        Args:
            text: The value as it is written.

        >>> WORD.holds(b'"r0"'), WORD.holds(b"null"), COUNT.holds(b"12"), COUNT.holds(b"1.5")
        (True, False, True, False)
        """
        if self.whole:
            return text.isdigit() and int(text) <= self.most
        if not text.startswith(b'"'):
            return False
        return self.escapes or (text != b'""' and b"\\" not in text)


WORD = Kind()
"""An id or a name."""
TEXT = Kind(escapes=True)
"""What a model wrote."""
COUNT = Kind(whole=True, most=2**31 - 1)
"""Tokens."""
WHOLE = Kind(whole=True, most=10**17)
"""A time, or a number that nothing is done with."""

BODY: Path = ("response", "body")
_USAGE: Path = (*BODY, "usage")
CONTENT: Path = (*BODY, "choices", 0, "message", "content")

VARYING: Mapping[Path, Kind] = {
    ("custom_id",): WORD,
    ("id",): WORD,
    ("response", "request_id"): WORD,
    (*BODY, "id"): WORD,
    (*BODY, "created"): WHOLE,
    (*BODY, "model"): WORD,
    CONTENT: TEXT,
    (*BODY, "system_fingerprint"): WORD,
    (*_USAGE, "prompt_tokens"): COUNT,
    (*_USAGE, "completion_tokens"): COUNT,
    (*_USAGE, "total_tokens"): WHOLE,
    (*_USAGE, "prompt_tokens_details", "cached_tokens"): COUNT,
    (*_USAGE, "prompt_tokens_details", "cache_write_tokens"): COUNT,
    (*_USAGE, "completion_tokens_details", "reasoning_tokens"): COUNT,
}
"""What differs between the lines of answers that are alike otherwise.

Whatever values of their kinds stand here, a line that fits the types fits them still.
"""
