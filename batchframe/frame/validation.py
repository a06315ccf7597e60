"""Requests are held against what their provider takes, before any of them is staged.

What all rows share is looked at once per model and refused outright. What a row brings along is
looked at in its column, and becomes that row's error; conversations and nested values once per
skeleton: the JSON with its texts and numbers blanked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from batchframe.dialects import support
from batchframe.dialects.parameters import Rule
from batchframe.errors import UnsupportedError
from batchframe.frame import sdk
from batchframe.frame.prompt import Hole, HoleSpec, Shape, Splice
from batchframe.model import Endpoint, Json

Named = Callable[[str], tuple[str, str]]
"""A model as users write it -> its provider, and its name as the tables have it."""

TURNS = ("messages", "input")
"""Members that hold what is asked."""

_REMEMBERED = 20_000
"""Skeletons whose verdicts are kept; a job with more is judged again now and then."""

_LONGEST_KEPT = 20_000
"""Characters of a skeleton whose verdict is kept: lists of tokens are all different, and long."""

_TYPICAL: Mapping[str, Any] = {
    "text": "text",
    "prompt": "text",
    "image": "data:image/png;base64,AAAA",
    "messages": {"role": "user", "content": "text"},
}
"""What stands in a hole while the body around it is looked at."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_KEPT = "role|type|detail|format|effort|summary|verbosity"
"""Keys whose words say what the rest must look like."""

_BLANKS: tuple[tuple[str, str], ...] = (
    # U+0001 stands raw in no JSON: it keeps these words from being blanked with the others
    (rf'"({_KEPT})":"([a-z_]{{1,40}})"', '"$1":\x01$2\x01'),
    (rf":{_STRING}", ':""'),
    (":\x01([a-z_]+)\x01", ':"$1"'),
    (r":-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?", ":0.5"),
    (r":-?[0-9]+", ":0"),
    (r'"[0-9]+":', '"0":'),
)
"""How a nested value becomes its skeleton."""


def skeleton(text: pl.Expr) -> pl.Expr:
    """Give the expression that blanks the texts and numbers of JSON.

    >>> pl.select(skeleton(pl.lit('[{"role":"user","content":"Hello.","n":17}]'))).item()
    '[{"role":"user","content":"","n":0}]'
    """
    for pattern, blank in _BLANKS:
        text = text.str.replace_all(pattern, blank)
    return text


@dataclass
class Verdicts:
    """What the types say of members of bodies for one endpoint, each skeleton asked once."""

    endpoint: Endpoint
    _seen: dict[tuple[str, str, str], str | None] = field(default_factory=dict)

    def of(self, provider: str, member: str, text: str) -> str | None:
        """Say what is wrong with a member; None when nothing is.

        Args:
            provider: The word before the slash.
            member: Its name.
            text: Its JSON, blanked or as it is.
        """
        if len(text) > _LONGEST_KEPT:
            return self.body(provider, {member: orjson.loads(text)})
        key = (provider, member, text)
        if key not in self._seen:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[key] = self.body(provider, {member: orjson.loads(text)})
        return self._seen[key]

    def body(self, provider: str, members: Json) -> str | None:
        """Say what is wrong with some members of one body; None when nothing is."""
        body = {**sdk.least(self.endpoint), **members}
        return sdk.fault(self.endpoint, body, strict=provider in support.STRICT)


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter that a model refuses in rows: its hole, the values that may pass, what to say."""

    hole: int
    fine: Rule | None
    message: str


@dataclass
class Guard:
    """Looks at the requests of one call.

    Args:
        shape: Their body.
        given: The parameters that were given by name; those of `extra_body` are held to nothing.
        named: What a model is in the tables.
        alone: One model answers all rows, so a column that it refuses is refused whole.
    """

    shape: Shape
    given: frozenset[str]
    named: Named
    alone: bool
    _models: dict[str, tuple[Held, ...]] = field(default_factory=dict)
    _shapes: dict[str, str | None] = field(default_factory=dict)
    _verdicts: Verdicts = field(init=False)

    def __post_init__(self) -> None:
        self._verdicts = Verdicts(self.shape.endpoint)

    def model(self, model: str) -> tuple[Held, ...]:
        """Look at what all rows of a model share; once.

        Args:
            model: `provider/model`.

        Returns:
            What its rows are held to.

        Raises:
            UnsupportedError: The model, or its provider, does not take it.
        """
        if model not in self._models:
            provider, name = self.named(model)
            self._refuse_constants(model, provider, name)
            self._refuse_shape(provider)
            self._models[model] = tuple(self._held(model, provider, name))
        return self._models[model]

    def warnings(self, model: str) -> list[str]:
        """Say which parameters will not do at a model what they do at OpenAI's."""
        provider, name = self.named(model)
        endpoint, constants = self.shape.endpoint, self._constants()
        found = []
        for parameter in sorted(self.given):
            if parameter in constants:
                row = support.fate(provider, endpoint, parameter, name, constants)
            else:
                known = support.rows(provider, endpoint, parameter, name)
                row = next((one for one in known if not one.lifted(constants)), None)
            if row is not None and row.fate == "warned":
                found.append(support.warning(row, parameter, model))
        return found

    def faults(self, values: pl.DataFrame, texts: Sequence[pl.Series]) -> list[pl.Series]:
        """Look at what the rows bring along.

        Args:
            values: The holes' values in order, and the column `model`.
            texts: The same as JSON texts.

        Returns:
            For each way in which some row is at fault its messages: String, null where a row is not.

        Raises:
            UnsupportedError: As for `model`.
        """
        models = values["model"]
        names = [name for name in models.unique(maintain_order=True) if name]
        found = []
        by_provider: dict[str, list[str]] = {}
        for name in names:
            mine = None if len(names) == 1 else models == name
            found += [_refused(one, values.to_series(one.hole), mine) for one in self.model(name)]
            by_provider.setdefault(self.named(name)[0], []).append(name)
        for provider, asked in by_provider.items():
            mine = None if len(by_provider) == 1 else models.is_in(asked)
            found += self._misshapen(provider, values, texts, mine)
        return found

    def _constants(self) -> Json:
        body = self.shape.body
        return {k: v for k, v in body.items() if k in self.given and not isinstance(v, Hole)}

    def _holes(self) -> dict[str, int]:
        body = self.shape.body
        return {k: v.index for k, v in body.items() if k in self.given and isinstance(v, Hole)}

    def _refuse_constants(self, model: str, provider: str, name: str) -> None:
        constants = self._constants()
        for parameter, value in constants.items():
            row = support.fate(provider, self.shape.endpoint, parameter, name, constants)
            if row is not None and row.fate == "refused":
                raise UnsupportedError(support.refusal(row, parameter, model, value))

    def _held(self, model: str, provider: str, name: str) -> Iterator[Held]:
        constants = self._constants()
        for parameter, index in self._holes().items():
            for row in support.rows(provider, self.shape.endpoint, parameter, name):
                if row.fate != "refused" or row.lifted(constants):
                    continue
                said = support.refusal(row, parameter, model)
                if self.alone and row.fine is None:
                    raise UnsupportedError(said)
                yield Held(index, row.fine, f"invalid_request: {said}")

    def _refuse_shape(self, provider: str) -> None:
        """Hold the body around the holes against the types, once per provider."""
        found = support.surface(provider, self.shape.endpoint)
        if found is None:
            return
        if provider not in self._shapes:
            turned = {k: _filled(v, self.shape) for k, v in self.shape.body.items() if k in TURNS}
            known = {k: v for k, v in self._constants().items() if k not in found.own_values}
            self._shapes[provider] = self._verdicts.body(provider, {**turned, **known})
        wrong = self._shapes[provider]
        if wrong is not None:
            name = wrong.partition(" ")[0].partition(".")[0].partition("[")[0]
            remedy = f" To send it all the same: extra_body={{'{name}': ...}}."
            raise UnsupportedError(
                f"{provider} would refuse every row: {wrong}, by the types of the openai package."
                f"{'' if name in TURNS else remedy}"
            )

    def _misshapen(
        self,
        provider: str,
        values: pl.DataFrame,
        texts: Sequence[pl.Series],
        mine: pl.Series | None,
    ) -> Iterator[pl.Series]:
        """Find the rows whose nested values and words the types do not know."""
        found = support.surface(provider, self.shape.endpoint)
        if found is None:
            return
        for index, spec in enumerate(self.shape.holes):
            member = self._member(spec)
            if member is None or member in found.own_values:
                continue
            blanked = self._looked_at(member, values.to_series(index).dtype, texts[index])
            if blanked is None:
                continue
            here = blanked if mine is None else blanked.filter(mine)
            bad = {
                text: f"invalid_request: {wrong}, in this row"
                for text in here.unique()
                if text is not None and (wrong := self._verdicts.of(provider, member, text))
            }
            if bad:
                told = blanked.replace_strict(bad, default=None, return_dtype=pl.String)
                yield told if mine is None else pl.select(pl.when(mine).then(told)).to_series()

    def _member(self, spec: HoleSpec) -> str | None:
        """Name the member of the body that a hole fills whole and the types may judge."""
        if spec.kind == "messages":
            return "input" if self.shape.endpoint is Endpoint.RESPONSES else "messages"
        name = spec.where.removesuffix("=")
        return name if spec.kind == "parameter" and name in self.given else None

    def _looked_at(self, member: str, dtype: Any, texts: pl.Series) -> pl.Series | None:
        """Give what is to be judged of a hole's texts; None when there is nothing to find."""
        endpoint = self.shape.endpoint
        if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            return None  # their rule has seen to them
        listed = isinstance(dtype, pl.List | pl.Array)
        if not dtype.is_nested() or (listed and dtype.inner == pl.String):
            return None if sdk.is_open(endpoint, member, listed=listed) else texts
        return texts.to_frame("t").select(skeleton(pl.col("t"))).to_series()


def _refused(one: Held, values: pl.Series, mine: pl.Series | None) -> pl.Series:
    """Write the message where a row has a value that its model refuses."""
    broken = values.is_not_null()
    if one.fine is not None and values.dtype.is_numeric():
        broken &= (values < one.fine.low) | (values > one.fine.high)
    if mine is not None:
        broken &= mine
    return pl.select(pl.when(broken).then(pl.lit(one.message))).to_series()


def _filled(node: Any, shape: Shape) -> Any:
    """Put something typical into the holes."""
    if isinstance(node, Hole | Splice):
        return _TYPICAL[shape.holes[node.index].kind]
    if isinstance(node, dict):
        return {name: _filled(value, shape) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, shape) for value in node]
    return node
