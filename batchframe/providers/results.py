"""Result files are brought one by one: one that is gone or not whole does not keep the others from coming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchframe.errors import AuthenticationError
from batchframe.model import Brought
from batchframe.providers.rest import NotThereError, NotWholeError, RefusedError

Bring = Callable[[], Path]


def bring(wanted: Iterable[tuple[str, Bring]]) -> Brought:
    """Bring files, and say what is odd about them.

    Args:
        wanted: The provider's name for each file, and what brings it.
    """
    files, gone, doubts = list[Path](), list[str](), list[str]()
    for name, act in wanted:
        try:
            files.append(act())
        except NotThereError:
            gone.append(name)
        except NotWholeError as error:
            doubts.append(error.why)
            files += [error.file] if error.file else []
    return Brought(files, gone=gone, doubts=doubts)


def size_of(look: Callable[[], Any], *names: str) -> int | None:
    """Ask for a file's object and give how many bytes it says that the file has; None: it does not say.

    Args:
        look: Gives the object; a server may have none of files.
        names: Members that may hold the number.
    """
    found: Any = None
    with suppress(RefusedError, AuthenticationError):  # the file itself will tell what is wrong
        found = look()
    told = [found.get(name) for name in names] if isinstance(found, dict) else []
    # 0 is what some say of a file that they have not measured
    return next((size for size in told if type(size) is int and size > 0), None)
