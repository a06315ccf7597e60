"""Whether what was fetched of a batch is whole: one pure function decides, for all providers alike.

The batch told how many results there are, the files told how large they are, and their lines were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from batchframe.model import Patience

KEPT = ".kept"
"""The end of a result file's name that fell short: it is read again beside what comes next."""


class Verdict(StrEnum):
    """What is to be done with what was fetched."""

    WHOLE = "whole"  # nothing lacks, or what lacks is known to be gone
    AGAIN = "again"  # it falls short: fetch again
    TELL = "tell"  # it has fallen short for too long: the job stops and says so, once
    TAKE = "take"  # it was told, and asked for again as long: what is there is all there is


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a batch's results.

    Args:
        rows: How many rows were sent.
        held: For how many of them a line could be read.
        owed: How many lines there must be by the provider's counts; None: it does not say.
        gone: Whether the provider says that a file is no more.
        doubted: Whether something else speaks against the files: their size, or what they look like.
    """

    rows: int
    held: int
    owed: int | None = None
    gone: bool = False
    doubted: bool = False

    @property
    def short(self) -> bool:
        """Whether results may be lacking; where every row has a line, nothing can be."""
        if self.held >= self.rows:
            return False
        return self.gone or self.doubted or self.held < min(self.owed or 0, self.rows)


def judge(seen: Seen, waited: float, patience: Patience, *, told: bool, cancelled: bool) -> Verdict:
    """Say what is to be done.

    Args:
        seen: What is known.
        waited: For how many seconds results have fallen short.
        patience: How long that may take.
        told: Whether the job has stopped for it before.
        cancelled: Whether the job was cancelled: nobody waits for long then.

    >>> short = Seen(rows=10, held=5, owed=10)
    >>> judge(short, 60.0, Patience(), told=False, cancelled=False)
    <Verdict.AGAIN: 'again'>
    """
    if not seen.short:
        return Verdict.WHOLE
    known_gone = seen.gone and not seen.doubted
    if waited < (patience.gone if known_gone or cancelled else patience.results):
        return Verdict.AGAIN
    if known_gone:
        return Verdict.WHOLE
    return Verdict.TAKE if told or cancelled else Verdict.TELL


def shortage(seen: Seen, part: Mapping[str, Any], ticket: Mapping[str, Any]) -> str:
    """Say in one sentence what is wrong with a part's results.

    Args:
        seen: What is known.
        part: Its row in the ledger.
        ticket: What speaks against the files.
    """
    odd = [*ticket.get("doubts", ()), *(f"{name} is gone" for name in ticket.get("gone", ()))]
    least = "at least " if seen.owed == 1 else ""
    counted = f"{least}{seen.owed:,}" if seen.owed else "an unknown number of"
    why = f" (what came is {'; '.join(odd)})" if odd else ""
    name = str(part["model"]).partition("/")[0]
    return (
        f"{name} counts {counted} results of part {part['number']}, and its files hold those of "
        f"{seen.held:,} rows{why}."
    )


def keep_larger(files: Iterable[Path]) -> list[Path]:
    """Put result files that fell short aside, so that they can be fetched again; gives what is kept.

    Of two files of one name the larger one is kept: pages and error messages are short.

    Args:
        files: Fresh ones, and those that were kept before.
    """
    kept = {file for file in files if file.name.endswith(KEPT)}
    for file in files:
        aside = file.with_name(file.name + KEPT)
        if file in kept:
            continue
        if aside in kept and aside.stat().st_size > file.stat().st_size:
            file.unlink()
        else:
            file.replace(aside)
            kept.add(aside)
    return sorted(kept)
