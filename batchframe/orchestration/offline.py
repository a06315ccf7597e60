"""A provider's batch files without a job: requests into files, result files into outcomes.

The same code as a job's, usable alone: for a provider's own console, a colleague who holds the keys, or
a batch that somebody else made.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from batchframe.dialects.dialect import Dialect
from batchframe.dialects.shown import shown
from batchframe.errors import FileError, InputError
from batchframe.frame import decode as decoding
from batchframe.frame import given, outputs, results
from batchframe.frame.encode import write_wire
from batchframe.frame.ordered import in_order
from batchframe.frame.parts import UNSENT, PartSize, PartWriter, part_file
from batchframe.frame.schema import ResponseSchema
from batchframe.frame.whole import Judge
from batchframe.ledger.workspace import Workspace, storage
from batchframe.model import Endpoint, ModelRef, RowError
from batchframe.orchestration import idmap
from batchframe.orchestration.launch import tell
from batchframe.orchestration.plan import (
    Request,
    limits_of,
    line_sizes,
    refuse,
    stage,
    tabled,
    warned,
)
from batchframe.orchestration.priced import rates_of
from batchframe.pricing.cost import row_cost
from batchframe.providers.registry import check, dialect_of, model_ref, provider

_KEYS = "keys.parquet"

_MISSING = RowError("missing", "the result files hold no line for this row", retryable=True)


def encode(workspace: Workspace, request: Request, to: Path) -> list[Path]:
    """Write the provider's batch files of a request; nothing is sent.

    Args:
        workspace: Where requests are staged meanwhile.
        request: What to ask.
        to: A folder, made where it is not there; files of an earlier encode there are replaced.

    Returns:
        The provider's files; beside them stands `IDS`, the map from `custom_id` to row and file.
    """
    folder = idmap.Folder.at(to)
    staged = stage(workspace, request)
    try:
        if request.strict:
            refuse(warned(request, staged.samples))
        return _written(staged.folder, staged.parts, request.recipe.shape.endpoint, folder)
    finally:
        staged.discard()


def encode_lines(
    workspace: Workspace,
    source: Path,
    ref: ModelRef,
    to: Path,
    *,
    faultless: bool = False,
    extra: frozenset[str] = frozenset(),
) -> Encoded:
    """Write the provider's batch files of requests that stand in an OpenAI batch file already.

    Args:
        workspace: Where requests are staged meanwhile.
        source: OpenAI batch lines: `custom_id`, `url` and `body`; a model in a body gives way to `ref`.
        ref: Who shall be asked.
        to: A folder, made where it is not there.
        faultless: A request at fault refuses the file; otherwise it is in the map with its error, and
            in no file.
        extra: Members of bodies that only the provider knows.

    Raises:
        FileError: A line is no request, an id stands twice, or two lines have different endpoints.
        InputError: Requests are at fault where none may be.
    """
    folder = idmap.Folder.at(to)
    endpoint = given.endpoint_of(_there(source))
    found = provider(ref.provider)
    check(ref, endpoint)
    judge = Judge(endpoint, str(ref), tabled, extra)
    staging = workspace.staging()
    try:
        limits = {str(ref): limits_of(found, endpoint)}
        writer = PartWriter(staging, limits, lines=line_sizes("batch", endpoint))
        keys = staging / _KEYS
        chunks = given.requests(source, judge, faultless=faultless)
        with storage(staging):
            parts = writer.write_all(_keyed(chunks, keys))
        files = _written(staging, parts, endpoint, folder, pl.scan_parquet(keys))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Encoded(files, sum(part.rows for part in parts), writer.unsent, tuple(judge.warnings))


@dataclass(frozen=True, slots=True)
class Encoded:
    """What came of a file of requests: the provider's files, and how many requests are in none.

    `warnings` says what will not do at the model what it does at OpenAI's.
    """

    files: list[Path]
    sent: int
    refused: int
    warnings: tuple[str, ...]


def _keyed(chunks: Iterable[pl.DataFrame], keys: Path) -> Iterator[pl.DataFrame]:
    """Let requests pass, and write down which id each row had in the file."""
    wanted = ["row", "key"]
    schema = pl.DataFrame(schema=given.KEYED).select(wanted).to_arrow().schema
    with pq.ParquetWriter(keys, schema) as writer:
        for chunk in chunks:
            writer.write_table(chunk.select(wanted).to_arrow().cast(schema))
            yield chunk.drop("key")


def _written(
    staging: Path,
    parts: Sequence[PartSize],
    endpoint: Endpoint,
    folder: idmap.Folder,
    keys: pl.LazyFrame | None = None,
) -> list[Path]:
    """Write staged parts as the provider's files, and the map beside them."""
    refs = [model_ref(part.model) for part in parts]
    names = [f"{r.provider}-{part.number:04d}.jsonl" for r, part in zip(refs, parts, strict=True)]
    folder.make_room(names)
    files, maps = [], [pl.LazyFrame(schema=idmap.SCHEMA)]
    for part, ref, name in zip(parts, refs, names, strict=True):
        file, requests = folder.path / name, staging / part_file(part.number)
        words = dialect_of(ref, endpoint)
        with storage(file):
            write_wire(requests, file, model=ref.name, dialect=words, endpoint=endpoint)
        files.append(file)
        maps.append(_map(requests, name, keys))
    if (staging / UNSENT).exists():
        maps.append(_map(staging / UNSENT, None, keys))
    folder.close(pl.concat(maps), files)
    return files


def _map(requests: Path, file: str | None, keys: pl.LazyFrame | None) -> pl.LazyFrame:
    rows = pl.scan_parquet(requests).select("row", "custom_id", "model", "error")
    rows = rows.with_columns(file=pl.lit(file, pl.String))
    if keys is None:
        return rows.with_columns(key=pl.lit(None, pl.String)).select(idmap.SCHEMA.names())
    return rows.join(keys, on="row", how="left").select(idmap.SCHEMA.names())


def decode(
    paths: Iterable[Path],
    ref: ModelRef,
    *,
    ids: Path | None,
    endpoint: Endpoint,
    schema: ResponseSchema | None,
    prices: Mapping[str, Any] | None,
) -> pl.DataFrame:
    """Read a provider's result files as a job would.

    Args:
        paths: Output and error files, in any order.
        ref: Whose files they are, and for which model.
        ids: The id map; None: rows are counted as their ids first appear.
        endpoint: What the requests were for.
        schema: The response model, if any.
        prices: Prices by hand.

    Returns:
        The columns of `Job.outputs()`.

    Raises:
        FileError: A file is not there, or none of its lines is a result of this provider's.
    """
    with decoded(paths, ref, ids=ids, endpoint=endpoint, prices=prices) as found:
        if found.remark:
            tell(found.remark)
        return outputs.merged(found.folder, [found.outcomes], schema)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Result files that were read: the outcomes on disk, the rows that were asked for, what was odd."""

    folder: Path
    outcomes: Path
    known: pl.DataFrame
    odd: decoding.Reading

    @property
    def remark(self) -> str:
        """What was odd, in words; empty when nothing was."""
        return self.odd.remark

    def counts(self) -> tuple[int, int]:
        """Give the number of rows, and of those that failed."""
        good = int(pl.read_parquet(self.outcomes, columns=["ok"], memory_map=False)["ok"].sum())
        total = pq.read_metadata(self.outcomes).num_rows
        total += self.known["error"].count()
        return total, total - good

    def lines(self) -> Iterator[bytes]:
        """Give the outcomes as lines of an OpenAI result file, in the order of rows.

        The ids are those that the requests had before they were encoded.
        """
        refused = outputs.refused(self.known.filter(pl.col("error").is_not_null()))
        names = self.known.select("row", "key")
        for piece in in_order(self.outcomes, refused, self.folder):
            named = piece.join(names, on="row", how="left", maintain_order="left")
            yield from results.lines(named.with_columns(custom_id=pl.coalesce("key", "custom_id")))


@contextlib.contextmanager
def decoded(
    paths: Iterable[Path],
    ref: ModelRef,
    *,
    ids: Path | None,
    endpoint: Endpoint,
    prices: Mapping[str, Any] | None,
) -> Iterator[Decoded]:
    """Read a provider's result files into a folder that is there for the block.

    Args and errors are those of `decode`.
    """
    files = [_there(path) for path in paths]
    dialect = dialect_of(ref, endpoint)
    with tempfile.TemporaryDirectory(prefix="batchframe-") as aside:
        folder = Path(aside)
        known = _found(files, dialect) if ids is None else idmap.read(ids)
        asked = idmap.asked(known, str(ref), ids or Path(idmap.IDS))
        asked.write_parquet(folder / part_file(0))
        rates = rates_of(ref, batch=True, overrides=prices)
        how = decoding.Decoding(
            part=0,
            dialect=dialect,
            price=lambda reply: row_cost(reply.usage, rates).total,
            price_source=rates.source if rates else None,
            absent=_MISSING,
        )
        out = folder / decoding.outputs_file(0)
        odd = decoding.decode_part(folder / part_file(0), files, out, how)
        if odd.foreign and not asked.height:
            raise FileError(_foreign(files, ref))
        refused = known.filter(pl.col("error").is_not_null())
        if refused.height:
            refused.write_parquet(folder / UNSENT)
        yield Decoded(folder, out, known, odd)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileError(f"There is no file {path}.")
    return path


def _found(files: Iterable[Path], dialect: Dialect) -> pl.DataFrame:
    """Number the ids of result files as they come."""
    seen: dict[str, int] = {}
    for path in files:
        for custom_id in decoding.ids_in(path, dialect):
            seen.setdefault(custom_id, len(seen))
    rows = {"row": list(seen.values()), "custom_id": list(seen)}
    found = pl.DataFrame(rows, schema={"row": pl.Int64, "custom_id": pl.String})
    if not found.height:
        raise FileError(
            f"No line of {', '.join(map(str, files))} is a result in the words of {dialect.name}. "
            "Give the files that the provider returned, and the model that was asked."
        )
    schema = idmap.SCHEMA
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in schema.items() if n not in found.columns]
    return found.with_columns(absent).select(schema.names())


def _foreign(files: Iterable[Path], ref: ModelRef) -> str:
    names = ", ".join(map(str, files))
    return f"The id map has no row of {ref}, and {names} hold results. Give the map of these files."


def folder_of(to: object) -> Path:
    """Check where files shall go.

    Raises:
        InputError: It is no path.
    """
    if not isinstance(to, str | Path) or not str(to).strip():
        raise InputError(f"to={shown(to)}: it is a folder, as in to='batch-files'.")
    return Path(to).expanduser()
