"""One request a row: the frame's values meet the shape, and every row gets an id or a reason why not.

The rows stream through in chunks, so that a LazyFrame may be larger than memory. Expressions mean what
they mean in Polars: windows and ranks look at the whole frame. One that gives neither a value a row nor
a single one is refused, as `DataFrame.with_columns` does and its streaming twin does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
import polars as pl

from batchframe.errors import ColumnError, InputError, KeyColumnError
from batchframe.frame.bodies import bodies
from batchframe.frame.prompt import Builder, Shape, as_text, explained, is_local
from batchframe.frame.validation import Guard

CHUNK = 10_000
"""Rows worked on at a time: large enough for Polars, small enough for memory."""

CHUNK_BYTES = 16 << 20
"""Bytes of text and images worked on at a time, where rows are large; a row takes several times its own."""

KEPT_ROWS = 1_000
"""Rows in one piece of a frame that is kept on disk, which is read piece by piece."""

_LEGAL_ID = r"\A[A-Za-z0-9_-]{1,64}\z"
_HASHED = "h-"

_AT_FAULT = r"\Ainvalid_(request|image): "
"""Errors of rows whose request is wrong in itself."""

_FIRST = 3
"""Rows at fault that a refusal shows."""

SCHEMA = pl.Schema(
    {
        "row": pl.Int64,
        "custom_id": pl.String,
        "model": pl.String,
        "body": pl.String,
        "error": pl.String,
    }
)
"""The requests frame: `body` is the OpenAI body as JSON, null where `error` says why none is sent."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that turns a frame into requests; built once per call.

    `model` is one name for all rows, or the expression that gives each row's. `guard` holds requests
    to what their provider takes. With `faultless` a row at fault refuses the call.
    """

    shape: Shape
    model: str | pl.Expr
    key: str | None = None
    guard: Guard | None = None
    faultless: bool = False


def chunks(
    frame: pl.DataFrame | pl.LazyFrame, recipe: Recipe, *, kept: bool = False
) -> Iterator[pl.DataFrame]:
    """Give the requests in the frame's order, in chunks of at most `CHUNK` rows.

    Args:
        frame: Any frame; it is not changed.
        recipe: What to ask.
        kept: A LazyFrame is the scan of a file of ours: any slice of it can be read at any time.

    Returns:
        Frames with the columns of `SCHEMA`.

    Raises:
        KeyColumnError: The key has nulls, or says the same thing twice; the latter is known only
            after the last chunk.
        ColumnError: An expression asks for a column that is not there.
        InputError: An expression cannot be evaluated, or gives another number of values than the frame
            has rows; or rows are at fault where none may be. The latter two are known only after the
            last chunk.
        UnsupportedError: A model or its provider does not take what all rows have.
    """
    if isinstance(recipe.model, pl.Expr):
        Builder(frame.collect_schema()).dtype(recipe.model, "model=")
    seen = Seen()
    faults = Faults()
    start = 0
    for values in _values(frame, recipe, kept=kept):
        chunk = _chunk(values, recipe, start)
        if recipe.key is not None:
            seen.add(chunk["custom_id"])
        if recipe.faultless:
            faults.add(chunk)
        start += chunk.height
        yield chunk
    if recipe.key is not None:
        seen.refuse_duplicates(recipe.key)
    faults.refuse()


def _values(
    frame: pl.DataFrame | pl.LazyFrame, recipe: Recipe, *, kept: bool
) -> Iterator[pl.DataFrame]:
    """Evaluate holes, model and key over the frame, in that order of columns."""
    lengths = _Lengths(frame)
    try:
        for batch in _batches(frame, recipe, lengths, kept=kept):
            yield from _slices(batch)
    # a user's function or source may raise anything; a panic is how Polars meets what it did not foresee
    except (Exception, pl.exceptions.PanicException) as error:
        if isinstance(error, pl.exceptions.ShapeError):
            lengths.refuse(all_of_them=True)
        where = "An expression of the request"
        raise explained(error, where, frame.collect_schema()) from error
    lengths.refuse()


def _batches(
    frame: pl.DataFrame | pl.LazyFrame, recipe: Recipe, lengths: _Lengths, *, kept: bool
) -> Iterator[pl.DataFrame]:
    """Evaluate a frame piece by piece where that gives the same, else let Polars stream it."""
    model = pl.lit(recipe.model) if isinstance(recipe.model, str) else recipe.model
    key = pl.lit(None) if recipe.key is None else pl.selectors.by_name(recipe.key).as_expr()
    local = all(hole.local for hole in recipe.shape.holes) and (
        isinstance(recipe.model, str) or is_local(recipe.model)
    )
    asked = [(hole.expr, hole.where) for hole in recipe.shape.holes]
    asked.append((model.cast(pl.String), "model="))
    values = [expr if local else lengths.watched(expr, where) for expr, where in asked]
    names = [f"h{i}" for i in range(len(recipe.shape.holes))] + ["model", "key"]
    named = [expr.alias(name) for expr, name in zip([*values, key], names, strict=True)]

    def query(rows: pl.DataFrame | pl.LazyFrame) -> pl.LazyFrame:
        # with_columns repeats a constant for each row; every expression sees the frame as it was
        return rows.lazy().with_columns(named).select(names)

    if isinstance(frame, pl.LazyFrame):
        if kept and local:
            yield from _pulled(frame, query)
        else:
            yield from query(frame).collect_batches(chunk_size=CHUNK, maintain_order=True)
    elif local:
        # streaming over a frame in memory runs ahead of whoever takes the chunks, and copies it
        for rows in frame.iter_slices(CHUNK):
            yield query(rows).collect()
    elif frame.height:  # of a frame without columns Polars would make one row
        yield from query(frame).collect_batches(chunk_size=CHUNK, maintain_order=True)


def _pulled(
    frame: pl.LazyFrame, query: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> Iterator[pl.DataFrame]:
    """Read a kept frame slice by slice: a stream reads dozens of pieces ahead of whoever takes them.

    Slices grow while they are light and shrink when they are heavy.
    """
    start, step = 0, KEPT_ROWS
    while True:
        batch = query(frame.slice(start, step)).collect()
        if batch.height:
            yield batch
        if batch.height < step:
            return
        start += step
        size = batch.estimated_size()
        if size > CHUNK_BYTES:
            step = max(1, step // 2)
        elif size < CHUNK_BYTES // 4:
            step = min(CHUNK, step * 2)


@dataclass(frozen=True, slots=True)
class _Watched:
    """An expression of a length that only its values tell, and how many of them came at a time."""

    expr: pl.Expr
    where: str
    came: list[int] = field(default_factory=list)

    def passing(self) -> pl.Expr:
        """Give the expression with its values counted while they pass."""

        def count(values: pl.Series) -> pl.Series:
            self.came.append(len(values))
            return values

        return self.expr.map_batches(count, return_dtype=pl.self_dtype(), is_elementwise=True)


class _Lengths:
    """How many values each expression gives: streaming repeats a lone one for all rows, scalar or not."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._frame = frame
        self._watched: list[_Watched] = []

    def watched(self, expr: pl.Expr, where: str) -> pl.Expr:
        """Give the expression, its values counted unless its form says how many there are."""
        try:
            if expr.meta.is_length_preserving() or expr.meta.is_scalar():
                return expr
        except pl.exceptions.PolarsError:
            pass  # a Python function is in it, whose form says nothing
        self._watched.append(_Watched(expr, where))
        return self._watched[-1].passing()

    def refuse(self, *, all_of_them: bool = False) -> None:
        """Refuse an expression that gives another number of values than the frame has rows.

        Args:
            all_of_them: Look at every expression, because Polars has met one that does not fit;
                otherwise at those whose values, as they came, leave a doubt.

        Raises:
            InputError: It names the argument.
        """
        if not self._watched:
            return
        height = self._frame.lazy().select(pl.len()).collect().item()
        for one in self._watched:
            # one value at a time is what a repeated value looks like, and a piece of one row
            lone = height > 1 and max(one.came, default=0) == 1
            if all_of_them or lone or sum(one.came) != height:
                self._refuse(one, height)

    def _refuse(self, one: _Watched, height: int) -> None:
        """Count an expression's values apart from the frame, where nothing repeats them."""
        try:
            count = self._frame.lazy().select(one.expr.len()).collect().item()
            fits = count == height or (count == 1 and self._is_scalar(one.expr))
        except Exception as error:
            raise explained(error, one.where, self._frame.collect_schema()) from error
        if not fits:
            raise InputError(
                f"{one.where} gives {count:,} value{'s' * (count != 1)} for {height:,} row{'s' * (height != 1)}. "
                "Give one a row, or a single one for all, such as pl.lit(...) or pl.col(...).first(). "
                "To ask of some rows only, filter the frame: df.filter(...)"
            )

    def _is_scalar(self, expr: pl.Expr) -> bool:
        """Whether a lone value is meant for all rows; of a LazyFrame, a function is asked over two."""
        try:
            return expr.meta.is_scalar()
        except pl.exceptions.PolarsError:
            few = self._frame
            rows = few if isinstance(few, pl.DataFrame) else few.head(2).collect()
        try:
            rows.with_columns(expr.alias("value"))
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ShapeError):
            return False
        return True


def _slices(batch: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut a batch whose texts and images are large."""
    sizes = [
        column.str.len_bytes() if column.dtype == pl.String else column.bin.size()
        for column in batch
        if column.dtype in (pl.String, pl.Binary)
    ]
    heavy = sum(int(size.sum()) for size in sizes) // CHUNK_BYTES + 1
    yield from batch.iter_slices(max(1, min(CHUNK, batch.height // heavy)))


def _chunk(values: pl.DataFrame, recipe: Recipe, start: int) -> pl.DataFrame:
    """Give the requests of some rows, the first of which is row `start`."""
    made = bodies(recipe.shape, values, recipe.guard)
    no_model = pl.col("model").fill_null("").str.strip_chars() == ""
    if recipe.key is None:
        ids = position_ids(pl.int_range(start, start + values.height, eager=True))
    else:
        named = custom_ids(values["key"], recipe.key, start=start)
        ids = pl.Series("custom_id", named, dtype=pl.String)
    return (
        values.select("model")
        .hstack(made)
        .with_columns(
            ids,
            pl.int_range(start, start + pl.len(), dtype=pl.Int64).alias("row"),
            pl.coalesce(
                "error",
                pl.when(no_model).then(
                    pl.lit("no_model: the model expression gives null for this row")
                ),
            ).alias("error"),
        )
        .with_columns(body=pl.when(pl.col("error").is_null()).then("body"))
        .select(SCHEMA.names())
    )


def position_ids(rows: pl.Series) -> pl.Series:
    """Give the ids of rows that are known by their place.

    Args:
        rows: The rows' places, integers.

    >>> position_ids(pl.Series([7, 8])).to_list()
    ['r7', 'r8']
    """
    return rows.to_frame("row").select(pl.format("r{}", "row").alias("custom_id")).to_series()


def custom_ids(keys: pl.Series, name: str, *, start: int = 0) -> list[str]:
    """Give the ids of rows that a key column names: the key itself where providers allow it.

    Every other key becomes `h-` and a hash, so the id is the same in every process.

    Args:
        keys: Any dtype that has a text; no nulls.
        name: The column's name, for messages.
        start: The row of the first key, for messages.

    Raises:
        KeyColumnError: The key is null somewhere, or has no text.

    >>> custom_ids(pl.Series(["a-1", "two words"]), "key")
    ['a-1', 'h-46b120aae2de04fa145598b34328806f0ad37745']
    """
    if keys.null_count():
        row = start + int(keys.is_null().arg_true()[0])
        raise KeyColumnError(
            f"key='{name}' is null in row {row}. "
            "Every row needs a key of its own; fill the nulls, or leave key= out."
        )
    frame = pl.DataFrame({"key": keys})
    try:
        text = as_text(pl.col("key"), keys.dtype, name)
        texts = frame.select(text).to_series()
    except (pl.exceptions.PolarsError, ColumnError) as error:
        raise KeyColumnError(
            f"key='{name}' has the type {keys.dtype}, which has no text to identify rows by. "
            "Use a column of numbers or strings."
        ) from error
    legal = texts.str.contains(_LEGAL_ID) & ~texts.str.starts_with(_HASHED)
    return [
        text if fine else _hashed(text)
        for text, fine in zip(texts.to_list(), legal.to_list(), strict=True)
    ]


def _hashed(key: str) -> str:
    return _HASHED + hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


class Seen:
    """The ids so far, as 16 bytes each: a dictionary of them would outgrow the frame."""

    def __init__(self) -> None:
        self._hashes = [pl.DataFrame(schema={"a": pl.UInt64, "b": pl.UInt64})]

    def add(self, ids: pl.Series) -> None:
        """Take in the ids of some rows."""
        self._hashes.append(pl.DataFrame({"a": ids.hash(seed=0), "b": ids.hash(seed=1)}))

    def twice(self) -> tuple[int, int] | None:
        """Give the rows of the first id that stands twice, the first two of them."""
        seen = pl.concat(self._hashes)
        found = seen.with_row_index("row").filter(seen.is_duplicated())
        if not found.height:
            return None
        first, second = found.join(found.head(1), on=["a", "b"], how="semi")["row"].sort()[:2]
        return first, second

    def refuse_duplicates(self, name: str) -> None:
        """Raise for the first id that stands twice.

        Raises:
            KeyColumnError: With the rows of the first two.
        """
        found = self.twice()
        if found is None:
            return
        raise KeyColumnError(
            f"key='{name}' says the same thing in rows {found[0]} and {found[1]}. "
            f"Keep one row a key, for example df.unique('{name}', maintain_order=True), "
            "or leave key= out."
        )


@dataclass
class Faults:
    """The rows at fault so far: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, requests: pl.DataFrame) -> None:
        """Take in a chunk of requests."""
        found = requests.filter(pl.col("error").str.contains(_AT_FAULT))
        self.count += found.height
        room = _FIRST - len(self.first)
        for row, error in found.head(max(0, room)).select("row", "error").iter_rows():
            self.first.append(f"row {row}: {error}")

    def refuse(self) -> None:
        """Raise when there are any.

        Raises:
            InputError: With the first rows and their number.
        """
        if not self.count:
            return
        rest = self.count - len(self.first)
        more = f"\n  and {rest:,} more" if rest else ""
        raise InputError(
            f"{self.count:,} row{'s are' if self.count != 1 else ' is'} at fault, so nothing was sent. "
            "To send the others: on_invalid='row_error'.\n  " + "\n  ".join(self.first) + more
        )


class Fingerprint:
    """What makes two calls the same job: every row's id, model and body, under the same settings.

    With a key the order of rows does not matter: their digests are added up.
    """

    def __init__(self, settings: Mapping[str, object], *, ordered: bool) -> None:
        head = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        self._hash = hashlib.blake2b(head, digest_size=20)
        self._sum = 0
        self._ordered = ordered

    def add(self, requests: pl.DataFrame) -> None:
        """Take in a chunk of requests."""
        rows = requests.select("custom_id", "model", "body", "error").iter_rows()
        for row in rows:
            digest = hashlib.blake2b(orjson.dumps(row), digest_size=16).digest()
            if self._ordered:
                self._hash.update(digest)
            else:
                self._sum = (self._sum + int.from_bytes(digest)) % 2**128

    def mix(self, text: str) -> None:
        """Take in something beside the rows."""
        self._hash.update(text.encode("utf-8", "surrogatepass"))

    def hexdigest(self) -> str:
        """Give the fingerprint as 40 hexadecimal digits."""
        final = self._hash.copy()
        final.update(self._sum.to_bytes(16))
        return final.hexdigest()
