"""What a download is by the looks of its beginning: results, or what servers send in place of them.

Servers, and what stands before them, answer with pages and error messages under HTTP 200.
"""

from __future__ import annotations

from typing import Any

import orjson

HEAD = 1 << 20
"""Bytes of a file that are looked at: a page or an error message is shorter."""

_BLANK = b" \t\r\n\x0b\x0c\xef\xbb\xbf"
_ERROR = ("error", "detail", "message")
_RESULT = ("custom_id", "response", "batch_request_id", "id")


def oddity(head: bytes) -> str | None:
    """Say what a file is if it is no result file; None where nothing speaks against it.

    An empty file is a result file: whether results are lacking is for the counts to say.

    Args:
        head: Its first `HEAD` bytes, or all of it.

    >>> oddity(b"<!DOCTYPE html><p>Bad gateway"), oddity(b'{"custom_id": "r0", "error": null}')
    ('a web page', None)
    """
    text = head.strip(_BLANK)
    if not text or any(map(_is_result, text.splitlines())):
        return None
    if text[:1] == b"<":
        return "a web page"
    return "an error message" if _is_refusal(_parsed(text)) else None


def _is_result(line: bytes) -> bool:
    found = _parsed(line) if line[:1] == b"{" else None
    return isinstance(found, dict) and any(name in found for name in _RESULT)


def _is_refusal(found: Any) -> bool:
    return isinstance(found, dict) and any(found.get(name) for name in _ERROR)


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
