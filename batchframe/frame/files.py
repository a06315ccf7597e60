"""Frames from files and into files: the suffix says the form, and a file is read whole or refused.

A CSV file has no types, so every column of one is text: a postcode keeps its zeros, a price its
places. Python's strict reader takes it apart, because a line with too few fields must be an error,
not a null that is paid for. Columnar files and NDJSON are scanned, so one larger than memory streams.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import errno
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import polars as pl

from batchframe.errors import FileError, InputError, nearest

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame

_CHUNK = 50_000  # rows of a CSV file that are Python objects at one time
_FIELD = 2**31 - 1  # characters; the csv module stops at 131,072 of its own accord

# A panic is how Polars ends on bytes that its own checks did not foresee.
_FAULTS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True, slots=True)
class Format:
    """A row of `FORMATS`: how files of one kind are read and written; `flat` ones hold text only."""

    name: str
    read: Callable[[Path], Frame]
    write: Callable[[pl.LazyFrame, Path], None]
    flat: bool = False
    binary: bool = False


def read_frame(path: str | os.PathLike[str]) -> Frame:
    """Read a data file.

    Args:
        path: A file whose suffix is in `FORMATS`.

    Returns:
        A DataFrame of a CSV (all columns String) or JSON file, a LazyFrame of any other; put
        `reading(path)` around the evaluation of the latter.

    Raises:
        FileError: There is no such file, or it is not what its suffix says.
    """
    source = Path(path)
    _refuse_unreadable(source)
    form = format_of(source)
    with reading(source):
        if source.stat().st_size == 0:
            raise FileError(f"{source} is empty: 0 bytes.")
        _refuse_impostor(source, form)
        frame = form.read(source)
        if not frame.collect_schema():
            raise FileError(f"{source} holds no columns.")
    return frame


def write_frame(frame: Frame, path: str | os.PathLike[str]) -> None:
    """Write a data file, whole or not at all: it grows beside its place under another name.

    Nested columns are JSON text in a CSV file. A file that is there is replaced; `refuse_target`
    asks before.

    Args:
        frame: What to write.
        path: Where; the suffix says how.

    Raises:
        FileError: The form cannot hold a column, or the disk refuses.
    """
    target = Path(path).resolve()  # a link stays a link; what it leads to is replaced
    form = format_of(target)
    refuse_columns(frame.collect_schema(), target)
    growing = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex[:8]}.tmp")
    query = _flattened(frame.lazy()) if form.flat else frame.lazy()
    try:
        form.write(query, growing)
        growing.replace(target)
    except _FAULTS as error:
        raise FileError(f"{target} cannot be written: {_said(error)}.") from error
    finally:
        growing.unlink(missing_ok=True)


def format_of(path: Path) -> Format:
    """Give the form that a file's suffix names.

    Raises:
        FileError: No form has this suffix; the message lists those that are known.
    """
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    hint = _ELSEWHERE.get(suffix) or nearest(suffix, FORMATS).strip()
    named = f"The suffix '{path.suffix}'" if suffix else "A name without a suffix"
    raise FileError(
        f"{path}: {named} does not say how the file is written. {hint}{' ' if hint else ''}"
        f"Known: {', '.join(FORMATS)}."
    )


def refuse_target(path: str | os.PathLike[str], *, force: bool) -> None:
    """Find out, before anything is sent, whether answers could be written to a file.

    Args:
        path: Where they are to go.
        force: Whether a file that is there may be replaced.

    Raises:
        FileError: They could not; the message says what to change.
    """
    target = Path(path)
    if target.is_dir():
        raise FileError(f"{target} is a folder; name a file in it.")
    if target.exists() and not target.is_file():
        raise FileError(f"{target} is not an ordinary file; '-' writes to the standard output.")
    format_of(target)
    if target.exists() and not force:
        raise FileError(f"{target} is there already. --force replaces it.")
    if not target.parent.is_dir():
        raise FileError(f"There is no folder {target.parent} to write {target.name} into.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise FileError(f"The folder {target.parent} does not let you write into it.")


def refuse_columns(schema: Mapping[str, pl.DataType], path: Path) -> None:
    """Refuse columns that a file of this form cannot hold.

    Raises:
        FileError: With the first such column.
    """
    form = format_of(path)
    for name, dtype in schema.items():
        if _holds(dtype, pl.Object):
            raise FileError(f"The column {name!r} holds Python objects, which no file can hold.")
        if not form.binary and _holds(dtype, pl.Binary):
            raise FileError(
                f"The column {name!r} holds bytes, which {form.name} cannot hold. "
                f"Write {path.with_suffix('.parquet').name} instead."
            )


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong while a scanned file is evaluated into a FileError about that file.

    Args:
        path: The file.
    """
    source = Path(path)
    try:
        yield
    except _FAULTS as error:
        raise FileError(_explain(source, error)) from error
    except InputError as error:
        if isinstance(error.__cause__, pl.exceptions.ComputeError | pl.exceptions.PanicException):
            raise FileError(_explain(source, error.__cause__)) from error
        raise


# How each form is read.


def _read_csv(path: Path, separator: str | None = None) -> pl.DataFrame:
    """Read a text table strictly; blank lines are nothing, empty fields are null."""
    before = csv.field_size_limit(_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            chosen = separator or _separator(file)
            return _rows_of(csv.reader(file, delimiter=chosen, strict=True), path)
    except UnicodeDecodeError as error:
        raise FileError(_not_utf8(path)) from error
    finally:
        csv.field_size_limit(before)


def _separator(file: IO[str]) -> str:
    """Spreadsheets write ';' where the comma is the decimal sign, and call it CSV all the same."""
    header = file.readline()
    file.seek(0)
    if "," in header:
        return ","
    return ";" if ";" in header else "\t" if "\t" in header else ","


def _rows_of(reader: Any, path: Path) -> pl.DataFrame:
    records = _records(reader, path)
    _, header = next(records, (0, []))
    if not header:
        raise FileError(f"{path} holds nothing but blank lines.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise FileError(f"{path}: the header names the column {twice[0]!r} more than once.")
    schema = dict.fromkeys(header, pl.String)
    frames = [pl.DataFrame(schema=schema)]
    rows: list[list[str | None]] = []
    for line, record in records:
        if len(record) != len(header):
            raise FileError(
                f"{path}, line {line}: {_count(len(record), 'field')} where the header has "
                f"{len(header)}. A text with a separator or a line break in it must stand in "
                "double quotes."
            )
        rows.append([value or None for value in record])
        if len(rows) == _CHUNK:
            frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
            rows = []
    if rows:
        frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
    return pl.concat(frames)


def _records(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the records that are not blank, each with the line it begins on."""
    line = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            open_quote = "unexpected end" in str(error)
            what = (
                "a double quote is opened and never closed"
                if open_quote
                else "something stands after a closing double quote; a quote in a text is doubled"
            )
            raise FileError(f"{path}, line {line}: {what}.") from error
        if record is None:
            return
        if record:
            yield line, record
        line = reader.line_num + 1


def _read_json(path: Path) -> pl.DataFrame:
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if not text.lstrip().startswith(b"["):
        raise FileError(
            f"{path} is not a JSON array of objects. One object a line is NDJSON: "
            f"name it {path.with_suffix('.ndjson').name}."
        )
    return pl.read_json(text, infer_schema_length=None)


def _scan_ndjson(path: Path) -> pl.LazyFrame:
    # the types are taken from all lines: a type that only holds for the first ones fails later
    return pl.scan_ndjson(path, infer_schema_length=None)


# How each form is written.


def _flattened(query: pl.LazyFrame) -> pl.LazyFrame:
    """Make text of what a flat file has no place for: JSON of nested values, ISO 8601 of spans."""
    texts = []
    for name, dtype in query.collect_schema().items():
        column = pl.col(name)
        if dtype.is_nested():
            # json_encode wants a struct; its frame around the value, {"v":...}, is cut off again
            wrapped = pl.struct(column.alias("v")).struct.json_encode()
            inner = wrapped.str.slice(5, wrapped.str.len_chars() - 6)
            texts.append(pl.when(column.is_not_null()).then(inner).alias(name))
        elif dtype == pl.Duration:
            texts.append(column.dt.to_string("iso").alias(name))
    return query.with_columns(texts)


def _sink_csv(query: pl.LazyFrame, path: Path) -> None:
    query.sink_csv(path, sync_on_close="all")


def _sink_tsv(query: pl.LazyFrame, path: Path) -> None:
    query.sink_csv(path, separator="\t", sync_on_close="all")


def _sink_parquet(query: pl.LazyFrame, path: Path) -> None:
    query.sink_parquet(path, sync_on_close="all")


def _sink_ndjson(query: pl.LazyFrame, path: Path) -> None:
    query.sink_ndjson(path, sync_on_close="all")


def _sink_ipc(query: pl.LazyFrame, path: Path) -> None:
    query.sink_ipc(path, sync_on_close="all")


def _write_json(query: pl.LazyFrame, path: Path) -> None:
    query.collect().write_json(path)


_CSV = Format("CSV", _read_csv, _sink_csv, flat=True)
_TSV = Format("TSV", lambda path: _read_csv(path, "\t"), _sink_tsv, flat=True)
_NDJSON = Format("NDJSON", _scan_ndjson, _sink_ndjson)
_PARQUET = Format("Parquet", pl.scan_parquet, _sink_parquet, binary=True)
_ARROW = Format("Arrow", pl.scan_ipc, _sink_ipc, binary=True)

FORMATS: dict[str, Format] = {
    ".csv": _CSV,
    ".tsv": _TSV,
    ".parquet": _PARQUET,
    ".ndjson": _NDJSON,
    ".jsonl": _NDJSON,
    ".json": Format("JSON", _read_json, _write_json),
    ".arrow": _ARROW,
    ".feather": _ARROW,
}
"""Suffix -> how files of it are read and written."""

_ELSEWHERE = {
    ".xlsx": "Save the sheet as CSV UTF-8.",
    ".xls": "Save the sheet as CSV UTF-8.",
    ".ods": "Save the sheet as CSV UTF-8.",
    ".gz": "Unpack it first.",
    ".zip": "Unpack it first.",
    ".zst": "Unpack it first.",
    ".txt": "If it is a table, name it .csv or .tsv.",
    ".pq": "If it is Parquet, name it .parquet.",
}
"""What to do with suffixes that people try."""

_MAGIC = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"PK\x03\x04", "a zip archive (an Excel sheet is one)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a Git LFS pointer: the data itself was not fetched"),
)
"""First bytes -> what they are a sign of."""

_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order marks, the longer ones first."""


# What is wrong with a file, in words.


def _refuse_unreadable(path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in FORMATS)[:3]
        example = f": {', '.join(inside)}" if inside else ""
        raise FileError(f"{path} is a folder; name one file in it{example}.")
    if not path.exists():
        folder = path.parent
        beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        missing = "" if folder.is_dir() else f" There is not even a folder {folder}."
        raise FileError(f"There is no file {path}.{nearest(path.name, beside)}{missing}")
    if not path.is_file():
        raise FileError(f"{path} is not an ordinary file.")


def _refuse_impostor(path: Path, form: Format) -> None:
    """Name what a file really is when its first bytes say something else than its suffix."""
    with path.open("rb") as file:
        head = file.read(32)
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), form.name)
    if found != form.name:
        raise FileError(f"{path} is not {form.name}: its first bytes are those of {found}.")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if wide is not None:
        raise FileError(f"{path} is {wide}, not UTF-8. Save it again as UTF-8.")
    if form is _NDJSON and head.startswith(codecs.BOM_UTF8):
        raise FileError(f"{path} begins with a byte order mark. Save it as UTF-8 without one.")


def _explain(path: Path, error: BaseException) -> str:
    """Say what a reader's error means for the file."""
    form = format_of(path)
    if isinstance(error, OSError):
        return f"{path} cannot be read: {_said(error)}."
    if form.name in ("JSON", "NDJSON"):
        return _json_fault(path, lines=form is _NDJSON) or f"{path}: {_said(error)}."
    return f"{path} is damaged or not {form.name}: {_said(error)}."


def _json_fault(path: Path, *, lines: bool) -> str | None:
    """Find the first place where a file is not JSON; None when all of it is."""
    with path.open("rb") as file:
        for number, raw in enumerate(file if lines else [file.read()], 1):
            try:
                value = json.loads(raw) if raw.strip() else {}
            except UnicodeDecodeError:
                return _not_utf8(path)
            except json.JSONDecodeError as error:
                line = number if lines else error.lineno
                return f"{path}, line {line}, column {error.colno}: not JSON ({error.msg})."
            if lines and not isinstance(value, dict):
                return f"{path}, line {number}: not a JSON object. NDJSON has one object a line."
            if not lines and not all(isinstance(one, dict) for one in value):
                return f"{path} is not a JSON array of objects."
    return None


def _not_utf8(path: Path) -> str:
    decode = codecs.getincrementaldecoder("utf-8")("strict").decode
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                decode(raw)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                return (
                    f"{path}, line {number}: the byte 0x{byte:02X} is not UTF-8. Save it again as "
                    f"UTF-8, or type: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
                )
    return f"{path} ends in the middle of a UTF-8 character."


def _holds(dtype: Any, wanted: type[pl.DataType]) -> bool:
    """Tell whether a type is, or contains, another."""
    if isinstance(dtype, pl.Struct):
        return any(_holds(field.dtype, wanted) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _holds(dtype.inner, wanted)
    return bool(dtype == wanted)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _said(error: BaseException) -> str:
    """Give the first line of what a library said, without a full stop."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return "the disk is full"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first.rstrip(".")
