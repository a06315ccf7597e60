"""How far a run has come: counts and tokens, summed as answers arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchframe.dialects.openai import usage

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Tally:
    """The rows of one part at one moment.

    `done` counts rows with an outcome in the journal, `failed` those of them that are errors,
    `resumed` those that an earlier run brought; all sums include the earlier runs. Tokens are None
    until some answer gives them. `in_flight` requests are with the server right now.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    resumed: int = 0
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    in_flight: int = 0

    def plus(self, record: Mapping[str, Any]) -> Tally:
        """Count one more outcome.

        Args:
            record: A journal line, parsed.
        """
        response = record.get("response")
        response = response if isinstance(response, Mapping) else {}
        body = response.get("body")
        body = body if isinstance(body, Mapping) else {}
        tokens = usage(body.get("usage"))
        return replace(
            self,
            done=self.done + 1,
            failed=self.failed + (not is_success(record)),
            input_tokens=_add(self.input_tokens, tokens.input),
            cached_tokens=_add(self.cached_tokens, tokens.cached),
            output_tokens=_add(self.output_tokens, tokens.output),
            reasoning_tokens=_add(self.reasoning_tokens, tokens.reasoning),
        )


def is_success(record: Mapping[str, Any]) -> bool:
    """Whether a journal line is an answer: no error, a status of 2xx, no error in the body."""
    response = record.get("response")
    if record.get("error") is not None or not isinstance(response, Mapping):
        return False
    body = response.get("body")
    return (
        response.get("status_code") in _OK
        and isinstance(body, Mapping)
        and body.get("error") is None
    )


def _add(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more
