"""Texts that others wrote, with credentials taken out: those in use, and what looks like one.

A provider's answer or a library's exception may quote a header or an address, in which keys travel; it
ends in the ledger, on a page and in a bug report. The credentials in use are known here, whatever they
look like: they are held in this process's memory and nowhere else. Patterns find others, and err on the
side of taking out too much.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

MASK = "***"

DEEPEST = 100
"""Levels of JSON that are looked through."""

LEAST_SECRET = 8
"""Characters: what is shorter is no key, and would be found in ordinary words."""

_WORDS = re.compile(r"(?=.{,19}$)[A-Za-z][a-z]*(?:[ _-][a-z]+)*")
"""A short word or two, as in `not-needed`, stands in for a key where none is wanted; taken out of texts it
would take codes such as `batch_cancelled` with it."""

MOST_SECRETS = 64
"""How many credentials are known at once; tokens age, and those not used for longest are forgotten."""

_LONGEST_PATTERN = 4096
"""Characters beyond a cut that patterns still see: a token that the cut would halve is found whole."""

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

HARMLESS = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "content-type", "http-referer",
        "openai-beta", "openai-organization", "openai-project", "referer", "user-agent", "x-title",
    }
)  # fmt: skip
"""Names of headers, in lower case, whose values are no credentials; those of all others may be."""


class _Known:
    """The credentials in use, each in the forms in which it may be quoted, the longest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: dict[str, None] = {}
        self.words: tuple[str, ...] = ()
        self.raw: tuple[bytes, ...] = ()

    def add(self, secret: str) -> None:
        with self._lock:
            fresh = secret not in self._secrets
            self._secrets.pop(secret, None)
            self._secrets[secret] = None  # now the latest
            if not fresh:
                return
            while len(self._secrets) > MOST_SECRETS:
                del self._secrets[next(iter(self._secrets))]
            words = {form for one in self._secrets for form in _forms(one)}
            self.words = tuple(sorted(words, key=len, reverse=True))
            self.raw = tuple(word.encode("utf-8", "surrogatepass") for word in self.words)


def _forms(secret: str) -> Iterator[str]:
    """Give a credential as it stands in a text, in an address and in JSON, where `/` may be escaped."""
    yield secret
    yield quote(secret, safe="")
    escaped = json.dumps(secret)[1:-1]
    yield escaped
    yield escaped.replace("/", "\\/")


_KNOWN = _Known()


def remember(*secrets: str) -> None:
    """Learn credentials that are in use, so that they are taken out of every text.

    Args:
        secrets: Keys, tokens, passwords; passed over are those of less than `LEAST_SECRET` characters,
            and short ones that are words.

    >>> remember("Zq7HexKeyOfNoKnownPattern")
    >>> redact("no such key: Zq7HexKeyOfNoKnownPattern")
    'no such key: ***'
    """
    for secret in secrets:
        secret = secret.strip()  # noqa: PLW2901 - the same, as it is sent
        if len(secret) >= LEAST_SECRET and not _WORDS.fullmatch(secret):
            _KNOWN.add(secret)


def remember_headers(headers: Mapping[str, str]) -> None:
    """Learn the credentials that headers hold.

    Args:
        headers: As they are sent; `HARMLESS` ones are passed over.
    """
    for name, value in headers.items():
        if name.lower() in HARMLESS or not isinstance(value, str):
            continue
        kind, _, rest = value.partition(" ")
        if kind.lower() not in ("bearer", "basic"):
            remember(value)
            continue
        remember(rest)
        if kind.lower() == "basic":
            remember(_password(rest))


def _password(packed: str) -> str:
    """Give the password of a `Basic` header; empty when it is none."""
    try:
        return base64.b64decode(packed).decode().partition(":")[2]
    except ValueError:
        return ""


def quotes_secret(data: bytes) -> bool:
    """Whether a credential in use stands in some bytes.

    Args:
        data: Text or JSON, in UTF-8.
    """
    return any(word in data for word in _KNOWN.raw)


def longest_secret() -> int:
    """Give how many bytes the longest form of a credential in use has; 0 when none is."""
    return max(map(len, _KNOWN.raw), default=0)


def hide(data: bytes) -> bytes:
    """Give bytes without the credentials in use; what merely looks like one stays.

    Args:
        data: Text or JSON, in UTF-8.
    """
    for word in _KNOWN.raw:
        data = data.replace(word, MASK.encode())
    return data


def redact(text: str, most: int | None = None) -> str:
    """Give a text without the credentials in use and without what looks like one.

    Args:
        text: Somebody else's words.
        most: How many characters to keep. To cut first would leave half a credential, which nothing
            recognises any more.

    >>> redact("401 for https://me:pw@host/v1 with Authorization: Bearer abc.def.ghi")
    '401 for https://***@host/v1 with Authorization: Bearer ***'
    """
    for word in _KNOWN.words:
        text = text.replace(word, MASK)
    if most is not None:
        text = text[: most + _LONGEST_PATTERN]
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text[:most]


def redact_json(value: Any, *, depth: int = 0) -> Any:
    """Give parsed JSON with credentials taken out of its texts and of its members' names.

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
        redact(key): MASK
        if isinstance(one, str) and _NAME.fullmatch(key)
        else redact_json(one, depth=depth + 1)
        for key, one in value.items()
    }


_NAME = re.compile(_NAMES, re.IGNORECASE)
