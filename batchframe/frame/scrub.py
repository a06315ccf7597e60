"""Result files as the provider gave them, but for our own credentials in lines that are no answers.

An answer is the user's own and stays byte for byte, whatever it says; a refusal may quote the key that
was sent with the request.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from batchframe.dialects.dialect import Dialect
from batchframe.redact import hide, longest_secret, quotes_secret

BLOCK = 4 << 20
"""Bytes that are looked through at a time."""


def scrub(path: Path, dialect: Dialect) -> bool:
    """Take the credentials in use out of a file's refusals; one that quotes none is only read.

    Args:
        path: The file, in place of which another one of its name may stand afterwards.
        dialect: What its lines mean.

    Returns:
        Whether it was changed.
    """
    if not _quotes(path):
        return False
    changed, clean = False, path.with_name(f"{path.name}.clean")
    with path.open("rb") as source, clean.open("wb") as target:
        for line in source:
            keep = not quotes_secret(line) or _answers(line, dialect)
            changed = changed or not keep
            target.write(line if keep else hide(line))
    if changed:
        clean.replace(path)
    else:
        clean.unlink()
    return changed


def _quotes(path: Path) -> bool:
    """Whether a credential stands anywhere in a file; what one block ends with is looked at again."""
    overlap = longest_secret()
    if not overlap:
        return False
    with path.open("rb") as file:
        end = b""
        while block := file.read(BLOCK):
            if quotes_secret(end + block[:overlap]) or quotes_secret(block):
                return True
            end = block[-overlap:]
    return False


def _answers(line: bytes, dialect: Dialect) -> bool:
    """Whether a line is an answer: what cannot be read is none."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    named = isinstance(found, dict) and isinstance(found.get("custom_id"), str)
    return named and dialect.decode(found).error is None
