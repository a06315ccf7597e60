"""A job's requests on disk, cut into parts: one Parquet file a part, one for rows that are not sent.

What the provider's limits allow decides where a part ends: requests, bytes of the wire file, prompt
tokens in the provider's queue, texts to embed. Rows of different models never share a part. A row that
no part has room for is not sent: it becomes a row error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.frame.encode import LINE_OVERHEAD
from batchframe.frame.requests import SCHEMA
from batchframe.ledger.workspace import settle
from batchframe.model import Limits, ModelRef
from batchframe.pricing.tokens import count_requests, tokenizer_for

TOKEN_BYTES = 2
"""Bytes of a body that count as one prompt token where a queue is kept short.

Prose has more of them in o200k and cl100k: English 5.4, German 3.5 to 5.2, Russian 3.7 to 5.7, Chinese
2.8 to 4.0, Hindi 2.5 to 11, program text 2.3 (measured 2026-11-24 with bpe-openai 0.1.4). Fewer have
emoji and long numbers (1.5 to 2.1), base64 (1.4) and Amharic (1.1), which come out too low.
"""

_DATA = r";base64,[A-Za-z0-9+/=_-]*"
_IMAGE = '"type":"image_url"'

UNSENT = "unsent.parquet"


def part_file(number: int) -> str:
    """Name the file that holds a part's requests.

    >>> part_file(7)
    'part-0007.requests.parquet'
    """
    return f"part-{number:04d}.requests.parquet"


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part as it came out: its model, its rows, and what its wire file is expected to have.

    `bytes` is exact where the dialect writes bodies as they are, else the most it can be. `tokens` is a
    generous guess of its prompt tokens and `inputs` the number of its texts to embed, each 0 where the
    provider has no limit for them.
    """

    number: int
    model: str
    rows: int
    bytes: int
    tokens: int = 0
    inputs: int = 0


@dataclass
class PartWriter:
    """Takes requests in chunks and writes the part files; for one submit.

    Args:
        folder: Where the files go.
        limits: Model (`provider/name`) -> what one part may hold.
        first: Number of the first part.
        lines: Model -> the bytes of its rows' lines, newline included (`frame.encode.line_bytes`);
            None: the most that a line of OpenAI's form can have.
    """

    folder: Path
    limits: Mapping[str, Limits]
    first: int = 0
    lines: Callable[[str], pl.Expr] | None = None
    parts: list[PartSize] = field(default_factory=list)
    unsent: int = 0
    _measured: dict[str, list[pl.Expr]] = field(default_factory=dict)
    _open: dict[str, tuple[PartSize, pq.ParquetWriter]] = field(default_factory=dict)
    _unsent: pq.ParquetWriter | None = None

    def write(self, requests: pl.DataFrame) -> None:
        """Sort a chunk of requests into its parts."""
        refused = [requests.filter(pl.col("error").is_not_null())]
        sent = requests.filter(pl.col("error").is_null())
        for chunk in sent.partition_by("model", maintain_order=True):
            model = str(chunk["model"][0])
            limits = self.limits[model]
            sized = chunk.with_columns(self._measures(model, limits))
            sized = sized.with_columns(_least_tokens(sized, model, limits))
            message = _too_large(model, limits)
            refused.append(_unsent(sized, message))
            self._write_model(model, limits, sized.filter(message.is_null()))
        self._refuse(pl.concat(refused).sort("row"))

    def _measures(self, model: str, limits: Limits) -> list[pl.Expr]:
        """Give what a model's limits are held against: a row's bytes, tokens and inputs."""
        if model not in self._measured:
            size = _most_bytes() if self.lines is None else self.lines(model)
            tokens = pl.lit(0) if limits.queue_tokens is None else prompt_tokens(model)
            inputs = pl.lit(0) if limits.inputs is None else embedding_inputs()
            each = {"bytes": size, "tokens": tokens, "inputs": inputs}
            self._measured[model] = [one.cast(pl.Int64).alias(name) for name, one in each.items()]
        return self._measured[model]

    def _refuse(self, refused: pl.DataFrame) -> None:
        if not refused.height:
            return
        self.unsent += refused.height
        if self._unsent is None:
            path = self.folder / UNSENT
            # a retry adds to what the first submit refused
            before = pq.read_table(path) if path.exists() else None
            self._unsent = _writer(path.with_suffix(".tmp"))
            if before is not None:
                self._unsent.write_table(before.cast(_ARROW))
        self._unsent.write_table(_table(refused))

    def _write_model(self, model: str, limits: Limits, chunk: pl.DataFrame) -> None:
        """Append rows to the model's open part, and begin another where the limits end it."""
        most = {"bytes": limits.bytes, "tokens": limits.queue_tokens, "inputs": limits.inputs}
        sums = {name: [0, *chunk[name].cum_sum().to_list()] for name in most}
        start = 0
        while start < chunk.height:
            size = self._part(model)
            ends = [start + limits.requests - size.rows]
            for name, limit in most.items():
                if limit is not None:
                    room = limit - getattr(size, name)
                    ends.append(bisect_right(sums[name], sums[name][start] + room) - 1)
            # an empty part takes its first row, so this comes to an end
            end = min(chunk.height, max(min(ends), start + (size.rows == 0)))
            if end > start:
                writer = self._open[model][1]
                writer.write_table(_table(chunk.slice(start, end - start).select(SCHEMA.names())))
                more = {
                    name: getattr(size, name) + some[end] - some[start]
                    for name, some in sums.items()
                }
                grown = replace(size, rows=size.rows + end - start, **more)
                self._open[model] = (grown, writer)
            if end < chunk.height:
                self._close(model)
            start = end

    def _part(self, model: str) -> PartSize:
        if model not in self._open:
            number = self.first + len(self.parts) + len(self._open)
            writer = _writer(self.folder / part_file(number))
            self._open[model] = (PartSize(number, model, 0, 0), writer)
        return self._open[model][0]

    def _close(self, model: str) -> None:
        size, writer = self._open.pop(model)
        writer.close()
        settle(self.folder / part_file(size.number))
        self.parts.append(size)

    def close(self) -> list[PartSize]:
        """Finish all files; gives the parts in order."""
        for model in list(self._open):
            self._close(model)
        if self._unsent is not None:
            self._unsent.close()
            (self.folder / UNSENT).with_suffix(".tmp").replace(self.folder / UNSENT)
            settle(self.folder / UNSENT)
        self.parts.sort(key=lambda part: part.number)
        return self.parts

    def write_all(self, chunks: Iterable[pl.DataFrame]) -> list[PartSize]:
        """Write every chunk and finish."""
        try:
            for chunk in chunks:
                self.write(chunk)
        finally:
            parts = self.close()
        return parts


def prompt_tokens(model: str) -> pl.Expr:
    """Guess how many prompt tokens each row's `body` has at most: cheap, and too many for most texts.

    Everything in the body counts, its JSON too, `TOKEN_BYTES` bytes a token. The data of an image do
    not: an image counts as the most tokens that `pricing/assumptions.toml` gives the model for one.

    Args:
        model: `provider/name`.
    """
    image = {"type": "image_url", "image_url": {"url": ""}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    each = count_requests([body], ModelRef(*model.split("/", 1)))[0].images[2]
    words = pl.col("body").str.replace_all(_DATA, "").str.len_bytes().cast(pl.Int64)
    images = pl.col("body").str.count_matches(_IMAGE, literal=True).cast(pl.Int64)
    return words // TOKEN_BYTES + 1 + images * each


def _least_tokens(sized: pl.DataFrame, model: str, limits: Limits) -> pl.Series:
    """Count how many prompt tokens each row has at least, where `tokens` leaves that in doubt; else 0.

    Only a row that surely has no room in the queue is refused for it: the cheap guess is generous.
    """
    most, ref = limits.queue_tokens, ModelRef(*model.split("/", 1))
    low = tokenizer_for(ref).low
    counts = [0] * sized.height
    if most is not None:
        for place in (sized["tokens"] > most).arg_true():
            found = count_requests([orjson.loads(sized["body"][place])], ref)[0]
            counts[place] = int(found.text * low) + found.images[0]
    return pl.Series("least", counts, dtype=pl.Int64)


def embedding_inputs() -> pl.Expr:
    """Count the texts that each row's `body` wants to have embedded: those of a list, else one.

    >>> rows = ['{"input":"a"}', '{"input":["a","b"]}', '{"input":[1,2,3]}', '{"input":[[1],[2]]}']
    >>> pl.DataFrame({"body": rows}).select(embedding_inputs())["body"].to_list()
    [1, 2, 1, 2]
    """
    return pl.col("body").map_batches(_inputs, return_dtype=pl.Int64, is_elementwise=True)


def _inputs(bodies: pl.Series) -> pl.Series:
    # inside a text its quotes would be escaped, so few bodies have to be parsed
    listed = bodies.str.contains('"input":[', literal=True)
    if not listed.any():
        return pl.select(pl.repeat(1, len(bodies), dtype=pl.Int64)).to_series().alias(bodies.name)
    counts = [_count(body) if several else 1 for body, several in zip(bodies, listed, strict=True)]
    return pl.Series(bodies.name, counts, dtype=pl.Int64)


def _count(body: str) -> int:
    given = orjson.loads(body).get("input")
    # a list of numbers is one text, in tokens
    several = isinstance(given, list) and not any(isinstance(one, int) for one in given)
    return len(given) if several else 1


def _most_bytes() -> pl.Expr:
    """Give the most bytes that a row's line can have in a file of OpenAI's form."""
    texts = pl.col("body").str.len_bytes() + pl.col("model").str.len_bytes()
    return texts.cast(pl.Int64) + LINE_OVERHEAD


def _too_large(model: str, limits: Limits) -> pl.Expr:
    """Say of each row by which limit no part has room for it; null where there is room."""
    found: pl.Expr = pl.lit(None, pl.String)
    size = pl.col("bytes")
    for most, has, unit, of in (
        # such a part would wait for ever, for the queue never has that much room
        (limits.queue_tokens, pl.col("least"), "prompt tokens at least", "queue"),
        (limits.inputs, pl.col("inputs"), "inputs to embed", "batch"),
        (limits.line_bytes, size - 1, "bytes", "line"),  # its newline is none of it
        (limits.bytes, size, "bytes", "batch"),
    ):
        if most is None:
            continue
        told = pl.format(
            "request_too_large: this row's request has {} {}, and {} takes at most {} a {}",
            has,
            *(pl.lit(word) for word in (unit, model, most, of)),
        )
        found = pl.when(has > most).then(told).otherwise(found)
    return found


def _unsent(sized: pl.DataFrame, message: pl.Expr) -> pl.DataFrame:
    """Give the rows that have a message as row errors."""
    rows = sized.with_columns(error=message).filter(pl.col("error").is_not_null())
    return rows.with_columns(body=pl.lit(None, pl.String)).select(SCHEMA.names())


def _table(frame: pl.DataFrame) -> Any:
    return frame.to_arrow().cast(_ARROW)


def _writer(path: Path) -> pq.ParquetWriter:
    # a dictionary would hide from whoever reads it in pieces how much text a row group holds
    return pq.ParquetWriter(path, _ARROW, compression="zstd", use_dictionary=["model"])


_ARROW = pl.DataFrame(schema=SCHEMA).to_arrow().schema
