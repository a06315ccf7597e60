"""What is damaged in a job's folder is written again from what the same call has just staged.

A request is a pure function of the call and the frame, so the same call gives the same files: the
wire file comes from the requests (the driver sees to that), the requests and the frame's copy from
the call. Answers come from nowhere else and are never touched here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from batchframe.errors import StorageError
from batchframe.frame.parts import UNSENT, part_file
from batchframe.ledger.workspace import PRIVATE, settle, storage
from batchframe.orchestration.plan import FRAME_FILE, Staged

Whole = Callable[[Path], bool]
"""Whether a Parquet file can be read."""


def mend(
    folder: Path,
    parts: Sequence[Mapping[str, Any]],
    staged: Staged,
    *,
    by_key: bool,
    thoroughly: bool,
) -> list[str]:
    """Replace damaged or missing request files and the frame's copy of a job.

    Args:
        folder: The job's folder.
        parts: The parts' rows in the ledger.
        staged: The same request, staged anew; its files are used up.
        by_key: Rows are recognised by key, so today's frame may have them in another order.
        thoroughly: Read the files whole; otherwise only their footers.

    Returns:
        Names of the files that were replaced.

    Raises:
        StorageError: A damaged file cannot be made again.
    """
    whole = is_whole if thoroughly else _has_footer
    today = {size.number: (size.model, size.rows) for size in staged.parts}
    models = [model for model, _ in today.values()]
    replaced = []
    for part in parts:
        name = part_file(part["number"])
        if whole(folder / name):
            continue
        alone = models.count(part["model"]) == 1
        same = today.get(part["number"]) == (part["model"], part["rows"]) and not part["retry"]
        if not same or (by_key and not alone):
            raise StorageError(_hopeless(folder / name, folder.name))
        replaced.append(name)
    optional = [name for name in (FRAME_FILE, UNSENT) if (staged.folder / name).exists()]
    replaced += [name for name in optional if not whole(folder / name)]
    folder.mkdir(mode=PRIVATE, exist_ok=True)  # somebody may have removed it whole
    for name in replaced:
        _take(staged.folder / name, folder / name)
    return replaced


def _hopeless(path: Path, job: str) -> str:
    return (
        f"{path} is damaged or gone, and this call cannot write it again: the frame is cut into other "
        f"parts today. The answers that came are in {path.parent}. Type: "
        f"bf.job('{job}').outputs() to see them, or the same call with again=True to ask anew."
    )


def _take(source: Path, target: Path) -> None:
    with storage(target):
        fresh = target.with_name(target.name + ".tmp")
        shutil.copyfile(source, fresh)  # a LazyFrame's call still needs its own copy of the frame
        settle(fresh)
        fresh.replace(target)
        settle(target)


def _has_footer(path: Path) -> bool:
    try:
        pl.read_parquet_schema(path)
    except (OSError, pl.exceptions.PolarsError):
        return False
    return True


def is_whole(path: Path) -> bool:
    """Whether every value of a Parquet file can be read; it is read in pieces.

    Args:
        path: The file; one that is not there is not whole.
    """
    try:
        pl.scan_parquet(path).select(pl.all().null_count()).collect(engine="streaming")
    except (OSError, pl.exceptions.PolarsError):
        return False
    return True
