"""Why a batch failed, whatever form a provider gives its reasons: nothing that was said is thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reasons(said: Any) -> list[Mapping[str, Any]]:
    """Bring reasons to one form: objects with a `message`, and whatever else they had.

    Args:
        said: A list, an object with a list under `data`, one object, one sentence, or a mix of these.

    >>> reasons({"data": ["boom", {"code": "x"}]}), reasons("boom"), reasons(None)
    ([{'message': 'boom'}, {'code': 'x'}], [{'message': 'boom'}], [])
    """
    if isinstance(said, dict):
        data = said.get("data")
        return reasons(data) if data or not said.keys() - {"object", "data"} else [said]
    if isinstance(said, list):
        return [reason for one in said for reason in reasons(one)]
    return [{"message": said}] if isinstance(said, str) and said else []
