"""Bodies as OpenAI's API answers them: chat completions, responses, embeddings, moderations.

Tokens are counted as words of the texts on both sides: a fake's usage must be predictable.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from batchframe.model import Json

SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
}
"""Some of OpenAI's model names -> the snapshot that answers; other names answer for themselves."""

RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (1, 1_000_000),
    "max_completion_tokens": (1, 1_000_000),
}
"""Parameter -> the least and the most that it may be; beyond is a row of status 400."""

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


@dataclass(frozen=True, slots=True)
class Made:
    """What an answer knows beside its text; `reasoning` tokens are part of its output."""

    unique: str
    created: int
    model: str
    reasoning: int = 0


def out_of_range(body: Json) -> Json | None:
    """Give the error body of a parameter that is out of its range, if there is one."""
    for name, (least, most) in RANGES.items():
        value = body.get(name)
        if value is None or (isinstance(value, (int, float)) and least <= value <= most):
            continue
        if not isinstance(value, (int, float)):
            said, code = f"Invalid type for '{name}': expected a decimal.", "invalid_type"
        elif value > most:
            said = f"decimal above maximum value. Expected a value <= {most}, but got {value}"
            said, code = f"Invalid '{name}': {said} instead.", "decimal_above_max_value"
        else:
            said = f"decimal below minimum value. Expected a value >= {least}, but got {value}"
            said, code = f"Invalid '{name}': {said} instead.", "decimal_below_min_value"
        return problem(said, param=name, code=code)
    return None


def problem(
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    kind: str = "invalid_request_error",
) -> Json:
    """Give an error body as OpenAI writes it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_for(url: str, body: Json, text: str, made: Made) -> Json:
    """Build the answer to one request.

    Args:
        url: Where the request was addressed; its end decides the shape.
        body: The request.
        text: What the model says.
        made: Id, time and model.
    """
    for end, shape in SHAPES.items():
        if url.endswith(end):
            return shape(body, text, made)
    return chat(body, text, made)


def chat(body: Json, text: str, made: Made) -> Json:
    """Build a chat completion."""
    prompt, said = words(body.get("messages")), len(text.split()) + made.reasoning
    count = body.get("n") or 1
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
        for index in range(count)
    ]
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": said * count,
        "total_tokens": prompt + said * count,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": made.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {
        "id": f"chatcmpl-{made.unique}",
        "object": "chat.completion",
        "created": made.created,
        "model": made.model,
        "choices": choices,
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def response(body: Json, text: str, made: Made) -> Json:
    """Build a response of the Responses API."""
    prompt = words(body.get("input")) + words(body.get("instructions"))
    said = len(text.split()) + made.reasoning
    content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}]
    message = {
        "id": f"msg_{made.unique}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }
    thought = {"id": f"rs_{made.unique}", "type": "reasoning", "summary": []}
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": made.reasoning},
        "total_tokens": prompt + said,
    }
    return {
        "id": f"resp_{made.unique}",
        "object": "response",
        "created_at": made.created,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": made.model,
        "output": [thought, message] if made.reasoning else [message],
        "parallel_tool_calls": True,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": body.get("top_p", 1.0),
        "usage": usage,
    }


def embeddings(body: Json, text: str, made: Made) -> Json:
    """Build an embedding for each input: its own length, its index, then the answer's length."""
    given = body.get("input")
    several = isinstance(given, list) and not (given and isinstance(given[0], int))
    inputs: list[Any] = given if several and isinstance(given, list) else [given]
    wide = body.get("dimensions") or 3
    data = []
    for index, item in enumerate(inputs):
        vector = [float(len(item)), float(index), float(len(text)), *([0.0] * wide)][:wide]
        coded: Any = vector
        if body.get("encoding_format") == "base64":
            coded = base64.b64encode(struct.pack(f"<{wide}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": coded})
    prompt = words(given)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    return {"object": "list", "data": data, "model": made.model, "usage": usage}


def moderation(body: Json, text: str, made: Made) -> Json:
    """Build one verdict for each input; the answer "flagged" flags them."""
    given = body.get("input")
    several = isinstance(given, list) and all(isinstance(item, str) for item in given)
    flagged = text == "flagged"
    verdict = {
        "flagged": flagged,
        "categories": dict.fromkeys(CATEGORIES, flagged),
        "category_scores": dict.fromkeys(CATEGORIES, 0.9 if flagged else 0.0001),
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    count = len(given) if several and isinstance(given, list) else 1
    return {"id": f"modr-{made.unique}", "model": made.model, "results": [verdict] * count}


SHAPES: dict[str, Callable[[Json, str, Made], Json]] = {
    "/chat/completions": chat,
    "/responses": response,
    "/embeddings": embeddings,
    "/moderations": moderation,
}
"""The end of a url -> what is answered there."""


def words(given: Any) -> int:
    """Count the words of all texts in a prompt; a list of token numbers counts its numbers."""
    return sum(1 if isinstance(text, int) else len(text.split()) for text in _texts(given))


def _texts(given: Any) -> Iterator[str | int]:
    if isinstance(given, (str, int)):
        yield given
    elif isinstance(given, list):
        for item in given:
            yield from _texts(item)
    elif isinstance(given, dict):
        yield from _texts(given.get("content") or given.get("text") or "")


def counted(body: Json) -> Json:
    """Give a body's usage in the names that OpenAI's batch objects use."""
    usage = body.get("usage") or {}
    inner = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    outer = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return {
        "input": usage.get("prompt_tokens", usage.get("input_tokens", 0)) or 0,
        "output": usage.get("completion_tokens", usage.get("output_tokens", 0)) or 0,
        "cached": inner.get("cached_tokens", 0) or 0,
        "reasoning": outer.get("reasoning_tokens", 0) or 0,
    }
