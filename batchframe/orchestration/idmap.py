"""The folder that `encode` fills: the provider's files, and beside them the map that says which row each line is.

The map remembers what the files looked like when they were written, so that a later `encode` replaces
its own files and nobody else's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
import polars as pl

from batchframe.dialects.shown import shown
from batchframe.errors import FileError
from batchframe.ledger.workspace import storage

IDS = "ids.parquet"
"""The file beside the provider's files that says which row each line is."""

SCHEMA = pl.Schema(
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

_WRITTEN = "batchframe"
"""The word in the map's own metadata under which the digests of its files stand."""


def read(path: Path) -> pl.DataFrame:
    """Read a map.

    Args:
        path: What `encode` wrote, or a frame of one's own with `row` and `custom_id`.

    Returns:
        The columns of `SCHEMA`, in the order of rows.

    Raises:
        FileError: It is no such map, or a row has no number or no id, or stands twice.
    """
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
    for name, dtype in SCHEMA.items():
        has = found.schema.get(name, dtype)
        if has not in (dtype, pl.Null) and not (name == "row" and has.is_integer()):
            raise FileError(
                f"The id map {path} has a column '{name}' of {has}; encode() writes {dtype}."
            )
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in SCHEMA.items() if n not in found.columns]
    whole = found.with_columns(absent).select(SCHEMA.names()).cast(SCHEMA)
    for name in ("row", "custom_id"):
        if whole[name].null_count():
            place = int(whole[name].is_null().arg_true()[0])
            raise FileError(
                f"The id map {path} has a null as '{name}' in its line {place}, counted from 0: every "
                "row needs its number and its id. Take that line out, or encode again."
            )
    _refuse_twice(whole, "row", path)
    return whole.sort("row")


def asked(known: pl.DataFrame, model: str, path: Path) -> pl.DataFrame:
    """Give the rows of a map that a model was asked.

    Args:
        known: The map; several providers' files may share one.
        model: `provider/model`.
        path: Where the map is, for messages.

    Raises:
        FileError: Two of them have the same id.
    """
    found = known.filter(pl.col("error").is_null())
    if found["model"].null_count() < found.height:
        found = found.filter(pl.col("model").is_null() | (pl.col("model") == model))
    _refuse_twice(found, "custom_id", path)
    return found


def refused(path: Path, most: int) -> list[tuple[str, str]]:
    """Give the first requests of a file that are in no batch: the id that each had, and why.

    Args:
        path: The map.
        most: How many.
    """
    wrong = pl.scan_parquet(path).filter(pl.col("error").is_not_null())
    named = wrong.select(pl.coalesce("key", "custom_id"), "error")
    return list(named.head(most).collect().iter_rows())


def _refuse_twice(found: pl.DataFrame, name: str, path: Path) -> None:
    twice = found.filter(pl.col(name).is_duplicated())
    if twice.height:
        value = twice[name][0]
        word = shown(value) if isinstance(value, str) else str(value)
        raise FileError(
            f"The id map {path} has the {name} {word} more than once, so nobody could say whose "
            "answer is whose. Give the map of one encode()."
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to write into, and what an earlier encode wrote there: name -> digest."""

    path: Path
    written: Mapping[str, str]

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Look at a folder, which need not be there.

        Args:
            path: Where it is.

        Raises:
            FileError: Somebody else's `IDS` stands there.
        """
        ids = path / IDS
        if not ids.exists():
            return cls(path, {})
        try:
            told = pl.read_parquet_metadata(ids).get(_WRITTEN)
        except (OSError, pl.exceptions.PolarsError):
            told = None
        if told is None:
            raise FileError(_foreign(ids))
        return cls(path, orjson.loads(told))

    def make_room(self, names: Iterable[str]) -> None:
        """Make the folder and remove the files of the earlier encode: one too many would be sent, too.

        Args:
            names: The files that will be written.

        Raises:
            FileError: Another file has one of these names; nothing is removed then.
        """
        with storage(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            mine = {name for name in self.written if self._is_mine(name)}
            for name in names:
                if (self.path / name).exists() and name not in mine:
                    raise FileError(_foreign(self.path / name))
            for name in mine:
                (self.path / name).unlink()

    def _is_mine(self, name: str) -> bool:
        file = self.path / Path(name).name
        return file.is_file() and _digest(file) == self.written[name]

    def close(self, ids: pl.LazyFrame, files: Iterable[Path]) -> None:
        """Write the map.

        Args:
            ids: The columns of `SCHEMA`, in any order of rows.
            files: The provider's files, as they are now.
        """
        written = orjson.dumps({file.name: _digest(file) for file in files}).decode()
        with storage(self.path / IDS):
            ids.sort("row").sink_parquet(self.path / IDS, metadata={_WRITTEN: written})


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()[:40]


def _foreign(file: Path) -> str:
    return (
        f"{file} is there already, and not as encode() wrote it. Nothing was written. Name another "
        f"folder, or move the file away."
    )
