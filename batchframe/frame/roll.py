"""A part's roll: which rows it has, and which of them have had an outcome.

Each row is called by its id. An outcome counts when it is the row's first, or when the earlier ones
were errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from batchframe.frame.requests import position_ids

Rows = npt.NDArray[np.int64]

_WAITING, _FAILED, _ANSWERED = range(3)


class Roll:
    """The rows of a part, and what has come of each so far.

    Args:
        ids: The ids of the part's rows; unique.
        rows: Their rows in the frame, rising.
    """

    def __init__(self, ids: pl.Series, rows: Rows) -> None:
        self._ids = ids
        self._rows = rows
        self._state = np.zeros(rows.size, np.int8)
        self.foreign = 0
        self.doubled = 0

    @classmethod
    def read(cls, requests: Path) -> Roll:
        """Read the roll of a part from its requests.

        Args:
            requests: The part's requests file.
        """
        found = pl.read_parquet(requests, columns=["custom_id", "row"], memory_map=False)
        return cls(found["custom_id"], found["row"].to_numpy())

    @cached_property
    def _places(self) -> dict[str, int]:
        return dict(zip(self._ids.to_list(), range(self._rows.size), strict=True))

    def admit(self, custom_id: str, *, good: bool) -> int | None:
        """Give the row of an outcome that counts; None for any other.

        Args:
            custom_id: Whose it is.
            good: Whether it is an answer, which may follow an error.
        """
        place = self._places.get(custom_id)
        if place is None:
            self.foreign += 1
            return None
        state = self._state[place]
        if state != _WAITING:
            self.doubled += 1
            if state == _ANSWERED:
                return None
        self._state[place] = _ANSWERED if good else _FAILED
        return int(self._rows[place])

    def admit_new(self, ids: pl.Series, numbers: Rows | None = None) -> Rows | None:
        """Give the rows of answers none of which came before; None, and nothing done, otherwise.

        Args:
            ids: Whose they are.
            numbers: What follows the `r` of ids that are `r` and a number, -1 for others; None: not
                known.
        """
        if numbers is not None and self._numbered:
            places = np.searchsorted(self._rows, numbers)
            known = self._rows[np.minimum(places, self._rows.size - 1)] == numbers
            if not known.all():
                return None
        else:
            found = map(self._places.get, ids.to_list(), repeat(-1))
            places = np.fromiter(found, np.int64, ids.len())
        if places.size and (places.min() < 0 or self._state[places].any()):
            return None
        before = np.count_nonzero(self._state)
        self._state[places] = _ANSWERED
        if np.count_nonzero(self._state) - before < places.size:  # an id stood twice among them
            self._state[places] = _WAITING
            return None
        return self._rows[places]

    @cached_property
    def _numbered(self) -> bool:
        """Whether all rows are called by their number, as `requests.position_ids` calls them."""
        return bool(self._rows.size and (position_ids(pl.Series(self._rows)) == self._ids).all())

    def absent(self) -> Iterator[tuple[str, int]]:
        """Give id and row of those that have had no outcome."""
        waiting = np.flatnonzero(self._state == _WAITING)
        yield from zip(
            self._ids.gather(waiting).to_list(), self._rows[waiting].tolist(), strict=True
        )
