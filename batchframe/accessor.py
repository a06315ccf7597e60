"""`df.batch` and `lf.batch`: each verb is one line into `batchframe.api`, and there is no state here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

    from batchframe.api import Frame
    from batchframe.evals.compare import Comparison
    from batchframe.orchestration.job import Job
    from batchframe.orchestration.plan import Plan


class Batch:
    """Requests from this frame to a language model; arguments as in `batchframe.submit`.

    Args:
        frame: The frame that the accessor was taken from.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def requests(self, **options: Any) -> pl.DataFrame:
        """Show the requests as a frame: `batchframe.requests(df, ...)`."""
        from batchframe import api  # noqa: PLC0415 - importing batchframe stays cheap

        return api.requests(self._frame, **options)

    def preview(self, n: int = 3, **options: Any) -> list[str]:
        """Show the exact wire lines of the first rows: `batchframe.preview(df, n, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.preview(self._frame, n, **options)

    def encode(self, to: str | Path, **options: Any) -> list[Path]:
        """Write the provider's batch files, nothing is sent: `batchframe.encode(df, to=..., ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.encode(self._frame, to=to, **options)

    def plan(self, **options: Any) -> Plan:
        """Say what `submit` would do, and cost: `batchframe.plan(df, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.plan(self._frame, **options)

    def submit(self, **options: Any) -> Job:
        """Ask a model about every row, as a durable job: `batchframe.submit(df, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.submit(self._frame, **options)

    def run(self, **options: Any) -> pl.DataFrame:
        """Ask now and wait: `batchframe.run(df, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.run(self._frame, **options)

    def embed(self, column: str | pl.Expr, **options: Any) -> Job:
        """Turn a text column into vectors: `batchframe.embed(df, column, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.embed(self._frame, column, **options)

    def compare(self, **options: Any) -> Comparison:
        """Put models and prompts side by side: `batchframe.compare(df, ...)`."""
        from batchframe import api  # noqa: PLC0415

        return api.compare(self._frame, **options)


pl.api.register_dataframe_namespace("batch")(Batch)
pl.api.register_lazyframe_namespace("batch")(Batch)
