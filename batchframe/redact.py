"""Texts that others wrote, with what looks like a credential taken out.

An exception of a provider's library may quote a header or an address, in which keys travel; it ends
in the ledger, on a page and in a bug report. Patterns err on the side of taking out too much.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "***"

DEEPEST = 100
"""Levels of JSON that are looked through."""

_NAMES = (
    r"api[-_ ]?key|access[-_ ]?key(?:[-_ ]?id)?|client[-_ ]?secret|secret(?:[-_ ]?access)?[-_ ]?key|"
    r"[a-z]*[-_]?token|secret|password|passwd|credential|signature|sig"
)

PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # an address with a name and a password
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), rf"\1{MASK}@"),
    # Authorization: Bearer ..., Basic ...
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    # OpenAI, Anthropic, Groq, xAI, Fireworks, Hugging Face, GitHub: a short name and a long rest
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|fw|hf|ghp|glpat|pplx|r8)[-_][\w-]{8,}"), MASK),
    (re.compile(r"\bAIza[\w-]{20,}"), MASK),  # Google
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), MASK),  # AWS
    (re.compile(r"\bya29\.[\w-]{10,}|\beyJ[\w-]{10,}(?:\.[\w-]+){1,2}"), MASK),  # OAuth, JWT
    # name=value, "name": "value", name: value
    (re.compile(rf"(?i)\b({_NAMES})(['\"]?\s*[:=]\s*['\"]?)(?!\*)[^\s'\"&,;}})]{{4,}}"), rf"\1\2{MASK}"),
)  # fmt: skip
"""What a credential looks like, and what stands in its place."""


def redact(text: str) -> str:
    """Give a text without what looks like a credential.

    Args:
        text: Somebody else's words.

    >>> redact("401 for https://me:pw@host/v1 with Authorization: Bearer abc.def.ghi")
    '401 for https://***@host/v1 with Authorization: Bearer ***'
    """
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redact_json(value: Any, *, depth: int = 0) -> Any:
    """Give parsed JSON with what looks like a credential taken out of its texts.

    Args:
        value: What a JSON parser gives; it is not changed. What lies deeper than `DEEPEST` levels
            becomes the mask: nobody reads an error that deep, and no writer follows it.
        depth: How deep `value` lies itself.

    >>> redact_json({"error": {"message": "bad key sk-abcdefgh1234"}, "token": "abcdef", "n": 1})
    {'error': {'message': 'bad key ***'}, 'token': '***', 'n': 1}
    """
    if isinstance(value, str):
        return redact(value)
    if not isinstance(value, list | dict):
        return value
    if depth >= DEEPEST:
        return MASK
    if isinstance(value, list):
        return [redact_json(one, depth=depth + 1) for one in value]
    return {
        key: MASK
        if isinstance(one, str) and _NAME.fullmatch(key)
        else redact_json(one, depth=depth + 1)
        for key, one in value.items()
    }


_NAME = re.compile(_NAMES, re.IGNORECASE)
