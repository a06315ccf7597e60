"""The body of `/v1/responses` from the parts of a chat body, and its answer in a chat's words.

Names follow OpenAI's API reference as of 2026-11. A shape's placeholders pass through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchframe.model import Json

_WRITTEN = "assistant"
"""Whose texts are output, not input."""

_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why an answer is incomplete -> `finish_reason`."""


def items(messages: Sequence[Any]) -> list[Any]:
    """Turn chat messages into input items.

    Args:
        messages: OpenAI chat messages; what is no mapping (a placeholder) stays as it is.

    >>> items([{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    [{'role': 'user', 'content': [{'type': 'input_text', 'text': 'hi'}]}]
    """
    return [_item(turn) if isinstance(turn, Mapping) else turn for turn in messages]


def _item(turn: Mapping[str, Any]) -> Json:
    content = turn.get("content")
    if not isinstance(content, list):
        return dict(turn)
    kind = "output_text" if turn.get("role") == _WRITTEN else "input_text"
    return {**turn, "content": [_part(part, kind) for part in content]}


def _part(part: Any, kind: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    if part.get("type") == "text":
        return {"type": kind, "text": part.get("text")}
    if part.get("type") == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, Mapping) else {"url": image}
        detail = {"detail": image["detail"]} if "detail" in image else {}
        return {"type": "input_image", "image_url": image.get("url"), **detail}
    return dict(part)


def text_format(response_format: Mapping[str, Any]) -> Json:
    """Turn a chat's `response_format` into the member `text` of a response's body.

    >>> text_format({"type": "json_object"})
    {'format': {'type': 'json_object'}}
    """
    inside = response_format.get("json_schema")
    if not isinstance(inside, Mapping):
        return {"format": dict(response_format)}
    return {"format": {"type": "json_schema", **inside}}


def said(body: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Find what a response says: its text, its refusal, its `finish_reason` in a chat's words.

    Args:
        body: Anything with a list `output`; what is not understood is passed over.
    """
    texts: list[str] = []
    refusals: list[str] = []
    called = False
    for item in body.get("output") or ():
        if not isinstance(item, Mapping):
            continue
        called = called or str(item.get("type", "")).endswith("_call")
        parts = item.get("content")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                if part.get("type") == "output_text":
                    texts.append(part["text"])
            elif isinstance(part, Mapping) and isinstance(part.get("refusal"), str):
                refusals.append(part["refusal"])
    return "".join(texts) if texts else None, "".join(refusals) or None, _finish(body, called)


def _finish(body: Mapping[str, Any], called: bool) -> str | None:
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if isinstance(reason, str):
        return _FINISH.get(reason, "length")
    if body.get("status") != "completed":
        return None
    return "tool_calls" if called else "stop"
