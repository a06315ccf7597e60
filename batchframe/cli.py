"""The command line: a command is parsed, makes one call into the library, and prints what came of it.

Standard output carries what was asked for (answers, lists, a job's id), standard error everything
else. Exit codes:

| code | meaning |
|---|---|
| 0 | done |
| 1 | the job, the workspace or a provider failed; what is paid is kept |
| 2 | the command, the file or this machine's setup is at fault; nothing was sent |
| 3 | the job ended and some of its rows are errors |
| 130 | Ctrl-C; the job is kept |
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import batchframe as bf
from batchframe.commands import grammar, translating
from batchframe.commands.asking import refuse_out, request
from batchframe.commands.printing import (
    CELL,
    in_shell,
    overheard,
    print_line,
    put,
    reader_left,
    say,
    table,
    tolerate,
)
from batchframe.commands.waiting import follow_job, hand_over
from batchframe.errors import BatchframeError, FileError, InputError, JobFailedError, SetupError
from batchframe.frame import files
from batchframe.ledger.events import JobState, JobView
from batchframe.notebook import words
from batchframe.notebook.hostile import clean
from batchframe.notebook.html import facts

if TYPE_CHECKING:
    import polars as pl

    from batchframe.orchestration.job import Job
    from batchframe.providers.base import Provider

DONE, FAILED, REFUSED, ROWS_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

_SHOWN = 20  # failed rows that `errors` prints
_SLICE = 10_000  # rows written to the standard output at a time


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Its words; None: those this process was started with.

    Returns:
        The exit code, see the table in the module's docstring.
    """
    for stream in (sys.stdout, sys.stderr):
        tolerate(stream)
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()
        return DONE
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or "Interrupted. `batchframe jobs` lists what is kept.")
        return INTERRUPTED
    except BatchframeError as error:
        _debug()
        say(in_shell(str(error)))
        return REFUSED if isinstance(error, InputError | SetupError) else FAILED
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback unless asked for
        _debug()
        say(
            f"Something went wrong that batchframe did not foresee: {type(error).__name__}: {error}\n"
            "With BATCHFRAME_DEBUG=1 the same command shows where; please report that."
        )
        return FAILED
    return code


def _run(argv: list[str]) -> int:
    try:
        parsed = grammar.parse(COMMANDS, argv)
    except SystemExit as done:  # what was to be said has been printed
        return int(done.code or 0)
    with _workspace(parsed):
        code: int = parsed.command.run(parsed)
    return code


@contextlib.contextmanager
def _workspace(parsed: argparse.Namespace) -> Iterator[None]:
    """Use the workspace that `--workspace` names; only a submit may make a new one."""
    chosen: Path | None = getattr(parsed, "workspace", None)
    if chosen is None:
        yield
        return
    if not parsed.command.makes and not chosen.is_dir():
        raise InputError(f"There is no workspace at {chosen}.")
    with bf.workspace(chosen):
        yield


# The commands. Each takes the parsed words and gives the exit code.


def _submit(args: argparse.Namespace) -> int:
    """Submit, show the job until it has ended, write the answers."""
    if args.detach and args.out is not None:
        raise InputError(
            "--detach leaves before there are answers to write. "
            "Later: batchframe results ID --out FILE"
        )
    frame, options = request(args)
    with files.reading(args.file), overheard():
        job = bf.submit(frame, **options)
    if args.detach:
        hand_over(job)
        return DONE
    return _until_the_end(job, args.out)


def _plan(args: argparse.Namespace) -> int:
    """Say what `submit` with the same words would do."""
    frame, options = request(args)
    with files.reading(args.file):
        plan = bf.plan(frame, **options)
    print_line(in_shell(repr(plan)))
    return REFUSED if plan.refusals else DONE


def _jobs(args: argparse.Namespace) -> int:
    """List the jobs of the workspace."""
    frame = bf.jobs()
    if args.json:
        print_line(json.dumps(frame.to_dicts(), default=_plain, indent=2))
        return DONE
    if frame.is_empty():
        say(f"No jobs in {bf.workspace().path} yet.")
        return DONE
    header = ("id", "state", "rows", "failed", "cost", "created (UTC)", "model", "name")
    table(
        header,
        (
            (
                row["id"],
                row["state"],
                f"{row['done']:,}/{row['total']:,}",
                f"{row['failed']:,}",
                "unknown"
                if row["cost_usd"] is None
                else words.dollars(Decimal(str(row["cost_usd"]))),
                f"{row['created_at']:%Y-%m-%d %H:%M}",
                row["model"],
                row["name"],
            )
            for row in frame.iter_rows(named=True)
        ),
    )
    return DONE


def _show(args: argparse.Namespace) -> int:
    """Print all that is known of one job."""
    view = bf.job(args.id).view
    if args.json:
        print_line(json.dumps(_facts_of(view), default=_plain, indent=2))
        return DONE
    created = dt.datetime.fromtimestamp(view.created_at, dt.UTC)
    lines = [
        ("job", view.id),
        ("name", view.name),
        ("model", f"{view.model} ({view.mode})"),
        ("state", f"{words.STATES[view.state].word} {view.phase}".strip()),
        ("rows", facts(dataclasses.replace(view, message=None))),
        ("created", f"{created:%Y-%m-%d %H:%M:%S} UTC"),
        ("folder", str(bf.workspace().job_folder(view.id))),
    ]
    lines += [("message", in_shell(view.message))] if view.message else []
    lines += [
        ("error", f"{group.count:,} x {group.code}: {group.example}") for group in view.errors
    ]
    for word, value in lines:
        print_line(f"{word:<8} {clean(value, CELL)}")
    return DONE


def _watch(args: argparse.Namespace) -> int:
    """Show a job until it has ended, driving it if nobody does."""
    return _until_the_end(bf.job(args.id), None)


def _results(args: argparse.Namespace) -> int:
    """Write the answers of a job, waiting for its end."""
    refuse_out(args.out, force=args.force)
    return _until_the_end(bf.job(args.id), args.out)


def _errors(args: argparse.Namespace) -> int:
    """Print the failed rows of a job, or write them all."""
    refuse_out(args.out, force=args.force)
    failed = bf.job(args.id).errors()
    if args.out is not None:
        _write(failed, args.out)
        return DONE
    if failed.is_empty():
        say("No row has failed.")
        return DONE
    table(
        ("row", "code", "message"),
        failed.head(_SHOWN).select("row", "error_code", "error_message").iter_rows(),
    )
    if failed.height > _SHOWN:
        say(
            f"{failed.height - _SHOWN:,} more. All of them: "
            f"batchframe errors {args.id} --out errors.ndjson"
        )
    return DONE


def _retry(args: argparse.Namespace) -> int:
    """Send failed rows again and wait for them."""
    job = bf.job(args.id)
    before = job.view
    job.retry()
    if before.state is not JobState.FAILED and job.view.parts_total == before.parts_total:
        say(f"No row of {job.id} is worth sending again.")
        return _verdict(before)
    return _until_the_end(job, None)


def _cancel(args: argparse.Namespace) -> int:
    """Stop a job and wait until what is paid has been fetched."""
    job = bf.job(args.id)
    state = job.view.state
    if state in (JobState.COMPLETED, JobState.CANCELLED):
        say(f"{job.id} has ended already: {state}.")
        return DONE
    try:
        follow_job(job.cancel())  # a failed job's batch may live on at its provider
    except JobFailedError as error:
        onwards = f"Then go on with it: batchframe retry {job.id}"
        stop = f"Then stop it: batchframe cancel {job.id}"
        raise JobFailedError(str(error).replace(onwards, stop)) from error
    return DONE


def _forget(args: argparse.Namespace) -> int:
    """Remove a job and its files."""
    job = bf.job(args.id)
    job.forget()
    say(f"{job.id} is forgotten.")
    return DONE


def _models(_args: argparse.Namespace) -> int:
    """List the models that providers name, and what each one lacks."""
    from batchframe.providers import registry  # noqa: PLC0415 - no other command lists providers

    rows: list[tuple[str, str]] = []
    for name in registry.names():
        try:
            found = registry.provider(name)
            rows += [(f"{name}/{model}", _need(found, model)) for model in found.models()]
        except ImportError as error:
            rows.append((f"{name}/...", _fix(str(error))))
    table(("model", "needs"), rows)
    return DONE


def _local_list(_args: argparse.Namespace) -> int:
    """List the local models that can be fetched."""
    from batchframe.providers import weights  # noqa: PLC0415 - only `local` reads weights

    here = weights.installed()
    table(
        ("model", "licence", "size", "state"),
        (
            (
                f"local/{row.name}",
                row.licence,
                f"{row.size / 1e6:.0f} MB",
                f"here: {here[row.name]}"
                if row.name in here
                else f"batchframe local pull {row.name}",
            )
            for row in weights.available()
        ),
    )
    return DONE


def _local_pull(args: argparse.Namespace) -> int:
    """Fetch a local model's weights."""
    from batchframe.providers import weights  # noqa: PLC0415 - only `local` reads weights

    weights.pull(args.name.removeprefix("local/"), echo=say)
    return DONE


# What several commands do.


def _until_the_end(job: Job, out: str | None) -> int:
    """Show a job until it has ended; write its answers, or say how to get them."""
    view = follow_job(job)
    if out is not None:
        _write_answers(job, out)
    else:
        print_line(job.id)
        say(f"The answers: batchframe results {job.id} --out FILE")
    if view.failed:
        again = f". To send them again: batchframe retry {job.id}"
        worth = again if any(group.retryable for group in view.errors) else ""
        say(f"{view.failed:,} of {view.total:,} rows failed: batchframe errors {job.id}{worth}")
    return _verdict(view)


def _verdict(view: JobView) -> int:
    return ROWS_FAILED if view.failed else DONE


def _write_answers(job: Job, out: str) -> None:
    """Write a job's answers; when that fails the answers are still where they were."""
    try:
        _write(job.result(), out)
    except FileError as error:
        raise JobFailedError(
            f"{error} The answers are kept: batchframe results {job.id} --out FILE"
        ) from error


def _write(frame: pl.DataFrame, out: str) -> None:
    if out == "-":
        for part in frame.iter_slices(_SLICE):
            put(sys.stdout, part.write_ndjson())
        return
    files.write_frame(frame, out)
    say(f"{frame.height:,} rows written to {out}")


def _need(provider: Provider, model: str) -> str:
    """Say what a model lacks on this machine: nothing, or the line that brings it."""
    from batchframe.model import Endpoint  # noqa: PLC0415 - beside the registry

    said = ""
    for endpoint in Endpoint:
        try:
            provider.check(model, endpoint)
        except SetupError as error:
            return _fix(str(error))
        except InputError as error:  # a model for embeddings does not chat, and the other way round
            said = str(error)
        else:
            return "nothing, it is ready"
    return said


def _fix(message: str) -> str:
    """Give the line to type out of a message about a missing thing, or the message."""
    return re.split(r"Type(?: in a terminal)?:\s*", message)[-1].strip()


def _facts_of(view: JobView) -> dict[str, Any]:
    """Give a view as JSON has it: times in ISO 8601, the exact cost as text."""
    found = dataclasses.asdict(view)
    found["cost_usd"] = found.pop("cost") if view.price == "known" else None
    for name in ("created_at", "started_at", "ended_at"):
        stamp = found[name]
        found[name] = None if stamp is None else dt.datetime.fromtimestamp(stamp, dt.UTC)
    return found


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def _debug() -> None:
    if os.environ.get("BATCHFRAME_DEBUG") == "1":
        traceback.print_exc()


COMMANDS = (
    grammar.Command("submit", _submit, (grammar.asks,), makes=True),
    grammar.Command("plan", _plan, (grammar.asks,), makes=True),
    grammar.Command("jobs", _jobs, (grammar.as_json,)),
    grammar.Command("show", _show, (grammar.job_id, grammar.as_json)),
    grammar.Command("watch", _watch, (grammar.job_id,)),
    grammar.Command("results", _results, (grammar.job_id, grammar.into_required)),
    grammar.Command("errors", _errors, (grammar.job_id, grammar.into)),
    grammar.Command("retry", _retry, (grammar.job_id,)),
    grammar.Command("cancel", _cancel, (grammar.job_id,)),
    grammar.Command("forget", _forget, (grammar.job_id,)),
    grammar.Command("encode", translating.encode, (translating.encode_words,), makes=True),
    grammar.Command("decode", translating.decode, (translating.decode_words,), makes=True),
    grammar.Command("models", _models),
    grammar.Command("local list", _local_list),
    grammar.Command("local pull", _local_pull, (grammar.model_name,)),
)


if __name__ == "__main__":
    sys.exit(main())
