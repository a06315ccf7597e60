"""A provider's batch files without a job: requests into files, result files into outcomes.

The same code as a job's, usable alone: for a provider's own console, a colleague who holds the keys, or
a batch that somebody else made.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from batchframe.dialects.dialect import Dialect
from batchframe.dialects.shown import shown
from batchframe.errors import FileError, InputError
from batchframe.frame import decode as decoding
from batchframe.frame import outputs
from batchframe.frame.encode import write_wire
from batchframe.frame.parts import UNSENT, PartWriter, part_file
from batchframe.frame.requests import SCHEMA, custom_ids
from batchframe.frame.schema import ResponseSchema
from batchframe.ledger.workspace import Workspace, storage
from batchframe.model import Endpoint, ModelRef, RowError
from batchframe.orchestration.plan import Request, limits_of, refuse, stage, warned
from batchframe.orchestration.priced import rates_of
from batchframe.pricing.cost import row_cost
from batchframe.providers.registry import check, dialect_of, model_ref, provider

IDS = "ids.parquet"
"""The file beside the provider's files that says which row each line is."""

_IDS = pl.Schema(
    {
        "row": pl.Int64,
        "custom_id": pl.String,
        "key": pl.String,
        "model": pl.String,
        "file": pl.String,
        "error": pl.String,
    }
)
"""`key` is the id that a request had before, where it came from a file of requests."""

Lines = Iterable[bytes]

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
    with storage(to):
        to.mkdir(parents=True, exist_ok=True)
        _clear(to)
    staged = stage(workspace, request)
    try:
        if request.strict:
            refuse(warned(request, staged.samples))
        files, maps = [], []
        for part in staged.parts:
            ref = model_ref(part.model)
            file = to / f"{ref.provider}-{part.number:04d}.jsonl"
            endpoint = request.recipe.shape.endpoint
            requests = staged.folder / part_file(part.number)
            with storage(file):
                write_wire(
                    requests,
                    file,
                    model=ref.name,
                    dialect=dialect_of(ref, endpoint),
                    endpoint=endpoint,
                )
            files.append(file)
            maps.append(_map(requests, file.name))
        if (staged.folder / UNSENT).exists():
            maps.append(_map(staged.folder / UNSENT, None))
        with storage(to / IDS):
            pl.concat([pl.DataFrame(schema=_IDS), *maps]).sort("row").write_parquet(to / IDS)
    finally:
        staged.discard()
    return files


def _clear(to: Path) -> None:
    """Remove what an earlier encode wrote there: a part too many would be sent with the others."""
    if (to / IDS).exists():
        for name in _read_ids(to / IDS)["file"].drop_nulls().unique():
            (to / Path(name).name).unlink(missing_ok=True)


def _map(requests: Path, file: str | None) -> pl.DataFrame:
    rows = pl.read_parquet(requests, columns=["row", "custom_id", "model", "error"])
    nothing = pl.lit(None, pl.String)
    return rows.with_columns(file=pl.lit(file, pl.String), key=nothing).select(_IDS.names())


def _read_ids(path: Path) -> pl.DataFrame:
    try:
        found = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FileError(
            f"The id map {path} cannot be read ({type(error).__name__}). It is the file {IDS} that "
            "encode() wrote beside the provider's files."
        ) from error
    missing = [name for name in ("row", "custom_id") if name not in found.columns]
    if missing:
        raise FileError(f"The id map {path} has no column '{missing[0]}'; encode() writes one.")
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in _IDS.items() if n not in found.columns]
    return found.with_columns(absent).select(_IDS.names()).cast(_IDS)


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
    files = [_there(path) for path in paths]
    dialect = dialect_of(ref, endpoint)
    with tempfile.TemporaryDirectory(prefix="batchframe-") as aside:
        folder = Path(aside)
        known = _found(files, dialect) if ids is None else _read_ids(ids)
        asked = known.filter(pl.col("error").is_null())
        if asked["model"].null_count() < asked.height:  # several providers' files may share a map
            asked = asked.filter(pl.col("model").is_null() | (pl.col("model") == str(ref)))
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
        return outputs.merged(folder, [out], schema)


def encode_lines(workspace: Workspace, source: Path, ref: ModelRef, to: Path) -> list[Path]:
    """Write the provider's batch files of requests that stand in an OpenAI batch file already.

    Args:
        workspace: Where requests are staged meanwhile.
        source: OpenAI batch lines: `custom_id`, `url` and `body`; a model in a body gives way to `ref`.
        ref: Who shall be asked.
        to: A folder, made where it is not there.

    Returns:
        The provider's files; `IDS` beside them has the ids of the source as `key`.

    Raises:
        FileError: A line is no request, an id stands twice, or two lines have different endpoints.
    """
    rows, endpoint = _requests(_there(source))
    found = provider(ref.provider)
    check(ref, endpoint)
    dialect = dialect_of(ref, endpoint)
    with storage(to):
        to.mkdir(parents=True, exist_ok=True)
        _clear(to)
    folder = workspace.staging()
    try:
        requests = rows.with_columns(model=pl.lit(str(ref)))
        writer = PartWriter(folder, {str(ref): limits_of(found, endpoint)})
        parts = writer.write_all([requests.select(SCHEMA.names())])
        files, maps = [], []
        for part in parts:
            file = to / f"{ref.provider}-{part.number:04d}.jsonl"
            asked = folder / part_file(part.number)
            with storage(file):
                write_wire(asked, file, model=ref.name, dialect=dialect, endpoint=endpoint)
            files.append(file)
            maps.append(_map(asked, file.name))
        if (folder / UNSENT).exists():
            maps.append(_map(folder / UNSENT, None))
        ids = pl.concat([pl.DataFrame(schema=_IDS), *maps]).drop("key").sort("row")
        keyed = ids.join(rows.select("row", "key"), on="row", how="left").select(_IDS.names())
        with storage(to / IDS):
            keyed.write_parquet(to / IDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return files


def _requests(source: Path) -> tuple[pl.DataFrame, Endpoint]:
    """Read an OpenAI batch file as requests."""
    found: list[tuple[int, str, str]] = []
    urls: dict[str, int] = {}
    with storage(source), source.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            custom_id, url, body = _request(raw, f"Line {number} of {source}")
            urls.setdefault(url, number)
            found.append((len(found), custom_id, body))
    if not found:
        raise FileError(f"{source} holds no request.")
    if len(urls) > 1:
        (first, _), (second, number), *_ = urls.items()
        raise FileError(
            f"{source} mixes endpoints: {first} at its beginning and {second} in line {number}. A "
            "batch has one; split the file."
        )
    rows = pl.DataFrame(found, schema=["row", "key", "body"], orient="row")
    twice = rows.filter(pl.col("key").is_duplicated())
    if twice.height:
        raise FileError(f"{source} has the custom_id {shown(twice['key'][0])} more than once.")
    ids = pl.Series("custom_id", custom_ids(rows["key"], "custom_id"), dtype=pl.String)
    return rows.with_columns(ids, error=pl.lit(None, pl.String)), _endpoint(
        next(iter(urls)), source
    )


def _request(raw: bytes, where: str) -> tuple[str, str, str]:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FileError(f"{where} is no JSON: {error}.") from None
    line = line if isinstance(line, dict) else {}
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not custom_id or not isinstance(body, dict):
        raise FileError(
            f'{where} is no request: it needs "custom_id" (text) and "body" (an object), as in '
            '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}.'
        )
    url = line.get("url", Endpoint.CHAT.value)
    bare = {name: value for name, value in body.items() if name != "model"}
    return custom_id, str(url), orjson.dumps(bare).decode()


def _endpoint(url: str, source: Path) -> Endpoint:
    path = url if url.startswith("/v1/") else f"/v1{url}"
    for endpoint in Endpoint:
        if endpoint.value == path:
            return endpoint
    known = ", ".join(Endpoint)
    raise FileError(
        f"{source} asks {shown(url)}, which batchframe does not know. It knows {known}."
    )


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
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in _IDS.items() if n not in found.columns]
    return found.with_columns(absent).select(_IDS.names())


def _foreign(files: Iterable[Path], ref: ModelRef) -> str:
    names = ", ".join(map(str, files))
    return f"The id map has no row of {ref}, and {names} hold results. Give the map of these files."


def results(found: pl.DataFrame, names: Mapping[str, str]) -> Lines:
    """Give outcomes as lines of an OpenAI result file.

    Args:
        found: What `decode` gives.
        names: Our `custom_id` -> the one that the line shall have.
    """
    columns = ("custom_id", "ok", "body", "error_code", "error_message", "request_id")
    for custom_id, ok, body, code, message, request_id in found.select(columns).iter_rows():
        response = None
        if body is not None:
            # the status itself is not kept; that the body is an error's is
            status = 400 if not ok and "error" in orjson.loads(body) else 200
            inner = orjson.Fragment(body)
            response = {"status_code": status, "request_id": request_id, "body": inner}
        error = None if ok else {"code": code, "message": message}
        name = names.get(custom_id, custom_id)
        line = {"id": f"batchframe-{name}", "custom_id": name, "response": response, "error": error}
        yield orjson.dumps(line)


def folder_of(to: object) -> Path:
    """Check where files shall go.

    Raises:
        InputError: It is no path.
    """
    if not isinstance(to, str | Path) or not str(to).strip():
        raise InputError(f"to={shown(to)}: it is a folder, as in to='batch-files'.")
    return Path(to).expanduser()
