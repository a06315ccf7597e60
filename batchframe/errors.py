"""Every exception batchframe raises: what happened, to which row or job, and the line to type.

BatchframeError
├── InputError            your call or your frame is at fault; nothing was sent, nothing is owed
│   ├── ColumnError           a column is missing, of the wrong type, or collides with a result
│   ├── KeyColumnError        the `key=` column has nulls or says the same thing twice
│   ├── UnknownNameError      no such model, provider, parameter or job; the nearest names follow
│   ├── UnsupportedError      the provider cannot express what was asked
│   ├── ResponseModelError    the `response_model` cannot become a schema or a Polars type
│   ├── BudgetError           the estimate exceeds `budget_usd`
│   └── FileError             a data file cannot be read or written as what it claims to be
├── SetupError            this machine lacks something; the message holds the line that installs it
│   ├── MissingExtraError
│   ├── MissingModelError
│   └── MissingCredentialsError
├── WorkspaceError        the folder or ledger that keeps the jobs
│   ├── LedgerVersionError    written by a newer batchframe
│   └── StorageError          disk full, read-only, or damaged; the job can go on afterwards
├── JobError              the job as a whole failed; a failed row is never an exception
│   ├── JobFailedError
│   └── JobTimeoutError       `wait(timeout=)` ran out; the job itself runs on
└── ProviderError         the other side answered something that is not about one row
├── AuthenticationError       the credentials are wrong or lack a right
├── QueueFullError            it takes no more batches for now; the job waits by itself
├── QuotaError                the purse is empty or a spending limit is reached; nothing helps but money
└── ProviderUnavailableError  it cannot be reached or is overloaded; the same call may work later
    └── RateLimitError            it takes no more calls for now; the job waits by itself
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BatchframeError(Exception):
    """The root: `except bf.BatchframeError` catches whatever batchframe raises on purpose."""


class InputError(BatchframeError, ValueError):
    """Your call or your frame is at fault; nothing was sent, nothing is owed."""


class ColumnError(InputError):
    """A column is missing, of the wrong type, or collides with a result column."""


class KeyColumnError(InputError):
    """The `key=` column has nulls or says the same thing twice."""


class UnknownNameError(InputError):
    """No such model, provider, parameter or job; the message holds the nearest names."""


class UnsupportedError(InputError):
    """The provider cannot express what was asked, so it was refused before anything was sent."""


class ResponseModelError(InputError):
    """The `response_model` cannot become a JSON schema or a Polars type."""


class BudgetError(InputError):
    """The estimate exceeds `budget_usd`; nothing was sent."""


class FileError(InputError):
    """A data file cannot be read or written as what it claims to be."""


class SetupError(BatchframeError):
    """This machine lacks something; the message holds the line that installs it."""


class MissingExtraError(SetupError, ImportError):
    """An optional dependency is not installed."""


class MissingModelError(SetupError):
    """The model's weights are not in the model folder."""


class MissingCredentialsError(SetupError):
    """No key was found for a provider that needs one."""


class WorkspaceError(BatchframeError):
    """The folder or ledger that keeps the jobs cannot be used."""


class LedgerVersionError(WorkspaceError):
    """The ledger was written by a newer batchframe."""


class StorageError(WorkspaceError, OSError):
    """The disk is full, read-only or damaged; what was saved stays, and the job can go on afterwards."""


class JobError(BatchframeError):
    """The job as a whole failed; a failed row is never an exception."""


class JobFailedError(JobError):
    """Nothing more will come of this job; the message names provider, cause and the next line."""


class JobTimeoutError(JobError, TimeoutError):
    """`wait(timeout=)` ran out; the job itself runs on."""


class ProviderError(BatchframeError):
    """The other side answered something that is not about one row."""


class AuthenticationError(ProviderError):
    """The provider does not accept the credentials."""


class QueueFullError(ProviderError):
    """The provider takes no more batches of this model for now; nothing was begun."""


class QuotaError(ProviderError):
    """The account has no money left, or a spending limit is reached."""


class ProviderUnavailableError(ProviderError):
    """The provider cannot be reached or is overloaded; the same call may work later."""


class RateLimitError(ProviderUnavailableError):
    """The provider takes no more calls for now, and did nothing; a job waits by itself.

    Args:
        message: For people.
        pause: Seconds that it asks for; None: it does not say.
    """

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Give the hint " Did you mean ...?" for a name nobody knows, or "" when nothing is near.

    Args:
        name: What was written.
        known: What could have been meant.
        most: How many candidates to show.

    >>> nearest("lable", ["label", "text"])
    " Did you mean 'label'?"
    """
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def missing_extra(module: str, extra: str, purpose: str) -> MissingExtraError:
    """Build the error for an optional dependency: what wanted it, and the pip line that brings it.

    Args:
        module: The module that could not be imported.
        extra: The extra of batchframe that holds it.
        purpose: What needs it, as the beginning of a sentence.
    """
    return MissingExtraError(
        f"{purpose} needs the package '{module}', which is not installed here. "
        f"Type: pip install 'batchframe[{extra}]'"
    )
