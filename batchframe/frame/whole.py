"""Bodies that come whole are held to what `submit` holds its arguments to, each as a call of its own.

The names and constants go by the same rules (`dialects.parameters`), the same table of what providers
take (`dialects.support`) and the same types (`frame.sdk`) as the arguments of a verb.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from batchframe.dialects import support
from batchframe.dialects.parameters import RULES, check_parameters
from batchframe.errors import InputError
from batchframe.frame import exact, sdk
from batchframe.frame.bodies import asks
from batchframe.frame.validation import Named, Verdicts, skeleton
from batchframe.model import Endpoint, Json


@dataclass
class Judge:
    """Looks at bodies for one model.

    Args:
        endpoint: What they are for.
        model: `provider/model`.
        named: What the model is in the tables.
        extra: Members that only the provider knows: they are held to nothing, like `extra_body`.
    """

    endpoint: Endpoint
    model: str
    named: Named
    extra: frozenset[str] = frozenset()
    warnings: dict[str, None] = field(default_factory=dict)
    _verdicts: Verdicts = field(init=False)

    def __post_init__(self) -> None:
        self._verdicts = Verdicts(self.endpoint)
        self._provider, self._name = self.named(self.model)
        self._surface = support.surface(self._provider, self.endpoint)
        self._turns = "messages" if self.endpoint is Endpoint.CHAT else "input"

    def faults(self, bodies: Sequence[Json]) -> list[str | None]:
        """Say what is wrong with each body, the first thing only.

        Args:
            bodies: Without a model, and without members that are null.

        Returns:
            `code: message`, None for a body that may be sent. What will not do what it says is noted
            in `warnings`.
        """
        found = [self._by_rule(body) for body in bodies]
        nested: list[tuple[int, str, str]] = []
        for place, body in enumerate(bodies):
            for name, value in self._judged(body):
                text = exact.dumps(value).decode()
                if isinstance(value, str):
                    found[place] = found[place] or self._typed(name, text)
                else:
                    nested.append((place, name, text))
        texts = pl.DataFrame({"t": [text for *_, text in nested]}, schema={"t": pl.String})
        blanked = texts.select(skeleton(pl.col("t"))).to_series()
        for (place, name, _), text in zip(nested, blanked, strict=True):
            found[place] = found[place] or self._typed(name, text)
        return [one or self._asked(body) for one, body in zip(found, bodies, strict=True)]

    def _by_rule(self, body: Json) -> str | None:
        """Hold names, ranges and what the model takes against the tables."""
        if self._turns not in body:
            return f"invalid_request: the body has no '{self._turns}', so it asks nothing"
        turns = body[self._turns]
        listed = isinstance(turns, list) and all(isinstance(one, dict) for one in turns)
        if self._turns == "messages" and not listed:
            return "invalid_request: messages must be a list of objects"
        known = {k: v for k, v in body.items() if k != self._turns and k not in self.extra}
        for name, value in known.items():
            try:
                check_parameters({name: value}, self.endpoint, known_elsewhere=frozenset())
            except InputError as error:
                return _in_a_file(f"invalid_request: {error}", name)
            row = support.fate(self._provider, self.endpoint, name, self._name, known)
            if row is not None and row.fate == "refused":
                said = support.refusal(row, name, self.model, value)
                return _in_a_file(f"invalid_request: {said}", name)
            if row is not None and row.fate == "warned":
                self.warnings[support.warning(row, name, self.model)] = None
        return None

    def _judged(self, body: Json) -> Iterator[tuple[str, Any]]:
        """Give the members that the types may judge: the rest is a number, or the provider's own."""
        if self._surface is None:
            return
        for name, value in body.items():
            mine = name == self._turns or name in RULES[self.endpoint]
            if not mine or name in self.extra or name in self._surface.own_values:
                continue
            if isinstance(value, str):
                if not sdk.is_open(self.endpoint, name, listed=False):
                    yield name, value
            elif isinstance(value, dict | list):
                texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
                if not (texts and sdk.is_open(self.endpoint, name, listed=True)):
                    yield name, value

    def _typed(self, name: str, text: str) -> str | None:
        wrong = self._verdicts.of(self._provider, name, text)
        said = f"invalid_request: {wrong}, by the types of the openai package"
        return None if wrong is None else said

    def _asked(self, body: Json) -> str | None:
        """Refuse a body that asks nothing, as a prompt of blanks is refused."""
        turns = body[self._turns]
        blank = isinstance(turns, str) and not turns.strip()
        if self._turns == "messages":
            if not all(one.get("role") for one in turns):
                return "invalid_request: a message has no role"
            blank = not any(map(asks, turns))
        if blank or turns == []:
            return "empty_prompt: there is nothing but blanks to ask in this request"
        return None


def _in_a_file(message: str, name: str) -> str:
    """Say it to someone whose requests stand in a file, where there is no `extra_body=`."""
    return message.replace(f"extra_body={{'{name}': ...}}", f"--extra {name}")
