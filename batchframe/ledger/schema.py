"""The ledger's tables, and the steps that bring an older ledger up to date."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

METADATA = sa.MetaData()

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("version", sa.Integer, nullable=False),  # number of migrations applied
)

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),  # what makes two calls the same job
    sa.Column("run", sa.Integer, nullable=False),  # 0, then one more for every again=True
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # ledger.events.JobState
    sa.Column("cancel", sa.Boolean, nullable=False, default=False),  # someone asked to stop
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("unsent", sa.Integer, nullable=False, default=0),  # rows refused before sending
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("failed", sa.Integer, nullable=False, default=0),
    sa.Column("input_tokens", sa.Integer),
    sa.Column("cached_tokens", sa.Integer),
    sa.Column("output_tokens", sa.Integer),
    sa.Column("reasoning_tokens", sa.Integer),
    sa.Column("cost", sa.Text),  # a decimal number, exact
    sa.Column("price", sa.String(16), nullable=False, default="unknown"),
    sa.Column("errors", sa.JSON, nullable=False, default=list),  # groups of failed rows
    sa.Column("settings", sa.JSON, nullable=False, default=dict),  # what result() needs; no secrets
    sa.Column("metadata", sa.JSON, nullable=False, default=dict),
    sa.Column("message", sa.Text),
    sa.Column("driver", sa.Text),  # host and process that drive it, for people
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.UniqueConstraint("fingerprint", "run"),
)

PARTS = sa.Table(
    "parts",
    METADATA,
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),  # orchestration.steps.PartState
    sa.Column("intent", sa.String(16)),  # the effect that was about to happen; null: none open
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("retry", sa.Boolean, nullable=False, default=False),
    sa.Column("ticket", sa.JSON),
    sa.Column("files", sa.JSON),  # names of the result files in the job's folder
    sa.Column("phase", sa.Text),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("failed", sa.Integer, nullable=False, default=0),
    sa.Column("input_tokens", sa.Integer),
    sa.Column("cached_tokens", sa.Integer),
    sa.Column("output_tokens", sa.Integer),
    sa.Column("reasoning_tokens", sa.Integer),
    sa.Column("cost", sa.Text),
    sa.Column("known_cost", sa.Text),  # of its priced answers, where `cost` is unknown
    sa.Column("message", sa.Text),
)


def m001_jobs_and_parts(connection: sa.Connection) -> None:
    """The first tables (2026-11-23)."""
    METADATA.create_all(connection)


def m002_known_cost(connection: sa.Connection) -> None:
    """What is known of a cost that is not known whole (2026-11-24)."""
    there = {column["name"] for column in sa.inspect(connection).get_columns(PARTS.name)}
    if "known_cost" not in there:  # a new ledger has it from the first step on
        connection.execute(sa.text(f"ALTER TABLE {PARTS.name} ADD COLUMN known_cost TEXT"))


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (m001_jobs_and_parts, m002_known_cost)
"""In order; a step once released is never edited, only followed by another."""
