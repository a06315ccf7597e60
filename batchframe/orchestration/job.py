"""The handle of a job: what users hold, in this process or any other, today or next week.

A handle has no state of the job; it reads the ledger and asks for things. The frame that it was made
with stays with it, so that `result()` joins onto exactly that frame.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from batchframe.errors import (
    InputError,
    JobError,
    JobFailedError,
    JobTimeoutError,
    StorageError,
    UnknownNameError,
    WorkspaceError,
    nearest,
)
from batchframe.frame import outputs as merging
from batchframe.frame.decode import outputs_file
from batchframe.frame.join import UNUSED, join
from batchframe.frame.outputs import BULKY
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.frame.schema import ResponseSchema
from batchframe.ledger.events import JobState, JobView, Observer
from batchframe.ledger.workspace import Workspace, opened, storage
from batchframe.model import Endpoint
from batchframe.notebook import display
from batchframe.notebook.html import text
from batchframe.notebook.kernel import while_blocked
from batchframe.orchestration import follow as following
from batchframe.orchestration import forgetting, remains
from batchframe.orchestration.driver import Driver
from batchframe.orchestration.effects import Memory
from batchframe.orchestration.mend import is_whole
from batchframe.orchestration.plan import FRAME_FILE, limits_of, line_sizes, part_row
from batchframe.orchestration.steps import Effect, PartState
from batchframe.orchestration.view import groups_to_json
from batchframe.providers.registry import model_ref, provider

TICK_SECONDS = 0.05
"""How often a blocked cell looks up from its waiting."""


class Job:
    """One submit and what became of it.

    Args:
        workspace: Where it is kept.
        job_id: Its id.
        frame: The frame to join answers onto; None: the copy that the workspace keeps.
        prefix: Put before the added columns' names; None: what the job was made with.
        note: How this process came to the job, for people.
    """

    def __init__(
        self,
        workspace: Workspace,
        job_id: str,
        *,
        frame: pl.DataFrame | pl.LazyFrame | None = None,
        prefix: str | None = None,
        note: str | None = None,
    ) -> None:
        self._workspace = workspace
        self._id = job_id
        self._frame = frame
        self._prefix = prefix
        self._note = note

    @property
    def _where(self) -> tuple[str, str]:
        return str(self._workspace.path), self._id

    def __eq__(self, other: object) -> bool:
        """Two handles of one job in one workspace are equal."""
        return self._where == other._where if isinstance(other, Job) else NotImplemented

    def __hash__(self) -> int:
        """As equal handles need it."""
        return hash(self._where)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled handle finds the job on the same machine; the frame stays where it was."""
        return _unpickled, (*self._where, self._prefix)

    @property
    def id(self) -> str:
        """The job's id; `bf.job(id)` opens it in any process."""
        return self._id

    @property
    def view(self) -> JobView:
        """Everything a face may show of the job, as the ledger has it now."""
        return replace(following.now(self._workspace, self._id), note=self._note)

    @property
    def status(self) -> str:
        """`queued`, `running`, `cancelling`, `completed`, `cancelled` or `failed`."""
        return self.view.state.value

    @property
    def progress(self) -> float:
        """The share of rows with an outcome, 0..1."""
        return self.view.fraction

    @property
    def cost(self) -> Decimal | None:
        """What the answers cost so far in US dollars, exact; None while any price is unknown."""
        seen = self.view
        return seen.cost if seen.price == "known" else None

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until every row has an outcome; buttons of a widget go on working meanwhile.

        Interrupting the wait leaves the job running.

        Args:
            timeout: Seconds; None: as long as it takes.

        Returns:
            The job itself, so that `job.wait().result()` reads well.

        Raises:
            JobFailedError: Something other than a row stopped the job.
            JobTimeoutError: The time is up; the job runs on.
        """
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float)
        ):
            raise InputError(f"timeout={timeout!r} was refused: give seconds, such as timeout=60.")
        until = None if timeout is None else time.monotonic() + timeout

        while True:
            self._wait_for(self._drive(), until, timeout)
            # a retry in another thread may have reopened the job just when its follower left
            if self.view.state.ended:
                return self._ended()

    def _wait_for(
        self, future: concurrent.futures.Future[None], until: float | None, timeout: float | None
    ) -> None:
        def look() -> JobView:
            if not future.done() and until is not None and time.monotonic() >= until:
                raise JobTimeoutError(
                    f"Job {self._id} has not ended after {timeout:g} s; it runs on. "
                    f"Type: bf.job('{self._id}').wait()"
                )
            if future.done():
                future.result()
            return self.view

        if sys.stderr.isatty() and not display.in_notebook():
            _show_line(self._subscribe, look)
        else:
            with while_blocked() as pump:
                while not future.done():
                    if until is not None:
                        look()
                    concurrent.futures.wait([future], timeout=TICK_SECONDS)
                    pump()
        future.result()

    def __await__(self) -> Generator[Any, None, pl.DataFrame]:
        """`await job` waits without blocking the kernel and gives what `result()` gives."""
        return self._awaited().__await__()

    async def _awaited(self) -> pl.DataFrame:
        while not self.view.state.ended or self.view.state is JobState.FAILED:
            # shielded: whoever stops waiting must not stop the driver between two paid steps
            await asyncio.shield(asyncio.wrap_future(self._drive()))
            if self.view.state.ended:
                break
        # off the caller's loop: joining a large frame takes a moment
        return await asyncio.to_thread(self._ended().result)

    def result(self) -> pl.DataFrame:
        """Wait, and give the frame with the answers: same rows, same order, our columns last.

        Returns:
            The frame plus `response` String (or `embedding` Array(Float32)), `parsed` Struct with a
            response model, `error` String, `model` String, `finish_reason` String, `input_tokens`,
            `cached_tokens`, `output_tokens`, `reasoning_tokens` Int64 and `cost_usd` Float64. A row
            that was asked more than once shows the tokens and dollars of all its tries.

        Raises:
            JobFailedError: Something other than a row stopped the job; `outputs()` still gives what
                is there.
        """
        if not self.view.state.ended or self.view.state is JobState.FAILED:
            self.wait()
        settings = self._row()["settings"]
        return join(
            self.frame(),
            self._outputs(leave_out=UNUSED),
            key=settings["key"],
            prefix=settings["prefix"] if self._prefix is None else self._prefix,
            embedding=self._row()["endpoint"] == Endpoint.EMBEDDINGS,
            schema=self._schema(),
        )

    def frame(self) -> pl.DataFrame:
        """Give the frame that the job was made from."""
        if self._frame is not None:
            return self._frame.lazy().collect()
        kept = self._folder / FRAME_FILE
        try:
            with storage(kept):
                return pl.read_parquet(kept)
        except (pl.exceptions.PolarsError, StorageError) as error:
            raise StorageError(
                f"The copy of the frame of {self._id} in {self._folder} is damaged or gone "
                f"({type(error).__name__}). The answers are there: bf.job('{self._id}').outputs(). "
                "The call that made the job writes the copy again and asks nothing twice."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, FileNotFoundError) as error:
            raise StorageError(
                f"A file of {self._id} in {self._folder} is damaged or gone "
                f"({type(error).__name__}). If the raw answers are there, "
                f"bf.job('{self._id}').retry() reads them again and asks nothing twice."
            ) from error

    def outputs(self) -> pl.DataFrame:
        """Give one row per request with everything known so far; does not wait.

        Returns:
            `row`, `custom_id`, `part`, `ok`, `response`, `embedding`, `error_code`,
            `error_message`, `error_status`, `retryable`, `model`, `finish_reason`, tokens, `cost_usd` as an exact
            Decimal, `price_source`, `request_id`, `attempts`, `latency` in seconds, `body` (the
            answer as an OpenAI object, JSON text), `extra` (what the provider said beyond it) and,
            with a response model, `parsed`. Rows without an outcome yet
            have the error code `pending` and no `part`.
        """
        return self._outputs()

    def _outputs(self, leave_out: Collection[str] = ()) -> pl.DataFrame:
        parts = self._workspace.store.parts(self._id)
        decoded = [p["number"] for p in parts if p["state"] == PartState.DECODED]
        waiting = [p["number"] for p in parts if p["state"] != PartState.DECODED]
        files = [self._folder / outputs_file(number) for number in decoded]
        with storage(self._folder), self._peeked(waiting) as peeked, self._reading():
            found = merging.merged(
                self._folder,
                files + peeked,
                self._schema(),
                sent=[self._folder / part_file(number) for number in waiting],
                leave_out=leave_out,
            )
        if not waiting:
            self._recount(found)
        return found

    def _recount(self, found: pl.DataFrame) -> None:
        """Correct the counts of a job that has ended: this reader's model may judge otherwise."""
        store, row = self._workspace.store, self._row()
        if not JobState(row["state"]).ended or row["state"] == JobState.FAILED or store.read_only:
            return
        failed = int((~found["ok"]).sum())
        errors = groups_to_json(merging.groups(found))
        if (failed, errors) != (row["failed"], row["errors"]):
            store.update_job(self._id, failed=failed, errors=errors)

    def recount(self) -> None:
        """Judge the answers of a job that has ended by this process's response model, for its faces."""
        if self._schema() is not None and self.view.state.ended:
            self._outputs(leave_out=BULKY)

    @contextmanager
    def _peeked(self, waiting: list[int]) -> Iterator[list[Path]]:
        """Decode what the journals of parts under way hold already: it is paid."""
        if not waiting:
            yield []
            return
        driver = Driver(self._workspace, self._id, following.memory_of(self._workspace, self._id))
        with tempfile.TemporaryDirectory(prefix="batchframe-") as aside:
            outs = [Path(aside) / outputs_file(number) for number in waiting]
            peeks = zip(waiting, outs, strict=True)
            yield [out for number, out in peeks if driver.peek(number, out)]

    def errors(self) -> pl.DataFrame:
        """Give the failed rows of `outputs()`: where, why, and whether a retry could help."""
        wanted = ("row", "custom_id", "error_code", "error_message", "retryable", "response")
        pending = (pl.col("error_code") == "pending") & pl.col("part").is_null()
        failed = self.outputs().filter(~pl.col("ok"), ~pending)
        return failed.select(wanted)

    def retry(self, codes: Collection[str] | None = None) -> Job:
        """Send failed rows again, as a new part of the same job; goes on with a job that failed.

        Args:
            codes: Error codes to send again, such as `["invalid_response"]`; None: those that a
                second try can help (a refusal or a malformed row would only be paid for again).

        Returns:
            The job itself; when nothing is worth sending it stays as it is.

        Raises:
            InputError: The job has not ended, or `codes` are no codes.
        """
        chosen = _checked(codes)
        with self._changing():
            return self._retry(chosen)

    def _retry(self, codes: list[str] | None) -> Job:
        seen = self.view
        if not seen.state.ended:
            raise InputError(f"Job {self._id} is {seen.state.value}; job.wait() first, then retry.")
        if seen.state is JobState.FAILED:
            self._reopen([])
            return self
        damaged = self._unreadable()
        if damaged:
            # what was cancelled stays so: nothing is sent, and its rows keep their cause
            self._reopen([], damaged, cancel=bool(self._row()["cancel"]))
            return self
        failed = self._outputs(leave_out=BULKY).filter(~pl.col("ok"), pl.col("part").is_not_null())
        chosen = pl.col("retryable") if codes is None else pl.col("error_code").is_in(list(codes))
        again = failed.filter(chosen)
        if again.height:
            self._reopen(self._write_again(again))
        elif codes is not None:
            _hint(codes, failed["error_code"].unique().to_list())
        return self

    def _unreadable(self) -> list[int]:
        """Name the parts whose decoded file is damaged: their raw answers are to be read again."""
        return [
            part["number"]
            for part in self._workspace.store.parts(self._id)
            if part["state"] == PartState.DECODED
            and not is_whole(self._folder / outputs_file(part["number"]))
        ]

    def _write_again(self, again: pl.DataFrame) -> list[dict[str, Any]]:
        """Write the requests of some rows as new parts; gives the parts' ledger rows."""
        known = self._workspace.store.parts(self._id)
        row = self._row()
        endpoint = Endpoint(row["endpoint"])
        asked = {p["model"]: provider(model_ref(p["model"]).provider) for p in known}
        limits = {model: limits_of(found, endpoint) for model, found in asked.items()}
        lines = line_sizes(row["mode"], endpoint)
        writer = PartWriter(self._folder, limits, len(known), lines)
        for number in sorted(set(again["part"].to_list())):
            requests = pl.read_parquet(self._folder / part_file(number)).select(SCHEMA.names())
            writer.write(requests.join(again, on="row", how="semi", maintain_order="left"))
        return [part_row(self._id, size, retry=True) for size in writer.close()]

    def _reopen(
        self,
        parts: list[dict[str, Any]],
        read_again: Collection[int] = (),
        *,
        cancel: bool = False,
    ) -> None:
        changes = {"state": JobState.QUEUED.value, "cancel": cancel, "ended_at": None}
        back = dict.fromkeys(read_again, PartState.FETCHED.value)
        self._workspace.store.add_parts(self._id, parts, back, message=None, **changes)
        self._drive()

    def cancel(self) -> Job:
        """Stop the job: answered rows are kept (they are paid), the others become errors `cancelled`.

        Returns:
            The job itself, at once; `wait()` waits for the end.
        """
        state = self.view.state
        if state is JobState.FAILED:  # its batches may still run at the provider
            self._reopen([], cancel=True)
        elif not state.ended:
            self._workspace.store.update_job(self._id, cancel=True)
            self._drive()
        return self

    def cleanup(self) -> Job:
        """Remove the job's files at its providers, input and results; the answers here stay.

        Parts whose answers are not all here keep theirs. Providers remove such files by themselves
        after some days or weeks; do it sooner where files are counted (Azure) or private. A result
        file that is damaged here afterwards cannot be fetched again.

        Returns:
            The job itself.

        Raises:
            ProviderError: A provider did not let it happen; the same call goes on.
        """
        with self._changing():
            remains.clean_up(self._row(), self._workspace.store.parts(self._id))
        return self

    def forget(self) -> None:
        """Remove the job from the workspace: its ledger rows and all its files.

        What it left at its providers stays there: `cleanup()` first.

        Raises:
            InputError: It has not ended; cancel it first.
        """
        self._refuse_while_alive()
        # a driver that has just ended the job may still be telling about it
        with self._changing(), following.lock_of(self._workspace, self._id).acquire(timeout=10):
            self._refuse_while_alive()
            forgetting.forget_rows(self._workspace, self._id)
        following.drop(self._workspace, self._id)
        forgetting.forget_files(self._workspace)

    def _refuse_while_alive(self) -> None:
        """Refuse to forget what may still be worked on, or paid for."""
        seen, parts = self.view, self._workspace.store.parts(self._id)
        alive = any(
            part["state"] in (PartState.CREATED, PartState.RUNNING)
            or part["intent"] == Effect.CREATE  # its batch may be there; only the ticket finds it
            for part in parts
        )
        if not seen.state.ended or alive:
            raise InputError(
                f"Job {self._id} is {seen.state.value}"
                f"{' and has a batch that may still run' if alive and seen.state.ended else ''}. "
                "Type: job.cancel().wait(), then job.forget()."
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change of the job at a time, over all threads and processes."""
        lock = forgetting.changing(self._workspace)
        with storage(Path(lock.lock_file)), lock:
            yield

    def on_done(self, call: Callable[[Job], object]) -> Job:
        """Call a function with the job when it has ended; at once if it has.

        Args:
            call: Runs in a thread of its own; what it raises is shown on stderr.
        """
        future = self._drive()
        future.add_done_callback(
            lambda _: threading.Thread(target=call, args=(self,), name="batchframe-done").start()
        )
        return self

    def __repr__(self) -> str:
        try:
            return text(self.view)
        except JobError:
            return f"{self._id} (forgotten)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Give every form of the job in one output, for front ends that ask for it."""
        self._watch()
        return display.mimebundle(self.view, **self._buttons(), include=include, exclude=exclude)

    def _ipython_display_(self) -> None:
        """Show the live widget in a notebook, and its static twin wherever that cannot live."""
        self._watch()
        display.show(self.view, **self._buttons())

    def _buttons(self) -> dict[str, Any]:
        """Give what a face may do; it lives as long as the page, so it must not hold the frame."""
        bare = Job(self._workspace, self._id)
        return {
            "key": self._where,
            "subscribe": bare._subscribe,
            "on_cancel": bare.cancel,
            "on_retry": bare.retry,
        }

    def _watch(self) -> None:
        if not self.view.state.ended:
            following.follow(self._workspace, self._id, drive=False)

    def _subscribe(self, observer: Callable[[JobView], None]) -> Callable[[], None]:
        unsubscribe = self._workspace.events.subscribe(self._id, observer)
        observer(self.view)  # what happened between the caller's look and now
        return unsubscribe

    def _drive(self) -> concurrent.futures.Future[None]:
        return following.follow(self._workspace, self._id, drive=True)

    def _ended(self) -> Job:
        seen = self.view
        if seen.state is JobState.FAILED:
            cause = (seen.message or "nobody knows why").rstrip()
            cause += "" if cause.endswith((".", "!", "?", ")")) else "."
            if self._row()["cancel"]:
                cause += f" Then stop it: bf.job('{self._id}').cancel()"
            elif "same call again" not in cause and ".retry()" not in cause:  # one way on is enough
                cause += f" Then go on with it: bf.job('{self._id}').retry()"
            raise JobFailedError(
                f"Job {self._id} ({seen.model}) stopped after {seen.done} of {seen.total} rows: {cause}"
            ) from following.failure_of(self._workspace, self._id)
        return self

    @property
    def _folder(self) -> Path:
        return self._workspace.job_folder(self._id)

    def _row(self) -> Any:
        row = self._workspace.store.job(self._id)
        if row is None:
            raise WorkspaceError(f"Job {self._id} is not in {self._workspace.path} any more.")
        return row

    def _schema(self) -> ResponseSchema | None:
        told: Memory = following.memory_of(self._workspace, self._id)
        if told.schema is not None:
            return told.schema
        kept = self._row()["settings"].get("response_schema")
        return None if kept is None else ResponseSchema.from_json(kept)


def _checked(codes: object) -> list[str] | None:
    if codes is None or isinstance(codes, str):
        return None if codes is None else [codes]
    if isinstance(codes, Collection) and all(isinstance(code, str) for code in codes):
        return list(codes)
    raise InputError(
        f"codes={codes!r} was refused: give error codes as job.errors() shows them, such as "
        'codes=["invalid_response"].'
    )


def _hint(codes: list[str], seen: list[str]) -> None:
    """Refuse a code that no row has and that looks like one that some row has."""
    for code in codes:
        near = nearest(code, seen)
        if code not in seen and near:
            raise UnknownNameError(f"No row failed with '{code}'.{near} See job.errors().")


def _unpickled(path: str, job_id: str, prefix: str | None) -> Job:
    return Job(opened(Path(path)), job_id, prefix=prefix)


def _show_line(
    subscribe: Callable[[Observer], Callable[[], None]], look: Callable[[], JobView]
) -> None:
    """Show the job's line in the terminal until it has ended."""
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for rich

    from batchframe.notebook import terminal  # noqa: PLC0415

    terminal.follow(subscribe, look, console=Console(stderr=True))
