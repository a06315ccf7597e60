"""The verbs, as functions with full types: `bf.submit(df, ...)` is `df.batch.submit(...)`.

Every verb checks its arguments here, before anything is written or sent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl

from batchframe import arguments
from batchframe.dialects.shown import shown
from batchframe.errors import (
    ColumnError,
    FileError,
    InputError,
    JobError,
    UnknownNameError,
    nearest,
)
from batchframe.model import Endpoint, Mode

if TYPE_CHECKING:
    from pydantic import BaseModel

    from batchframe.evals.compare import Comparison
    from batchframe.frame.prompt import Shape
    from batchframe.frame.schema import ResponseSchema
    from batchframe.frame.validation import Guard
    from batchframe.immediate.retry import Retry
    from batchframe.ledger.workspace import Workspace
    from batchframe.orchestration.job import Job
    from batchframe.orchestration.plan import Plan, Request

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame
Text: TypeAlias = str | pl.Expr
Asking: TypeAlias = Literal["chat", "responses", "moderations"]
OnInvalid: TypeAlias = Literal["row_error", "raise"]
Messages: TypeAlias = Sequence[Mapping[str, Any]] | pl.Expr


def submit(
    frame: Frame,
    *,
    model: Text,
    prompt: Text | None = None,
    system: Text | None = None,
    messages: Messages | None = None,
    response_model: type[BaseModel] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Asking = "chat",
    mode: Mode = "batch",
    key: str | None = None,
    prefix: str = "",
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Mapping[str, Decimal | str | float]] | None = None,
    retry: Retry | None = None,
    concurrency: int | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    again: bool = False,
    **parameters: Any,
) -> Job:
    """Ask a model about every row, as a job that outlives this process.

    The same call over the same frame in the same workspace gives the job that exists already; it
    never pays twice unless `again=True` says so. The frame is not changed.

    Args:
        frame: A DataFrame or LazyFrame.
        model: `provider/model`, or an expression that gives one per row.
        prompt: The user's turn: text with `{column}` placeholders (`{{` is a brace), or an
            expression. A row where a placeholder is null is not sent; its error is `empty_prompt`.
        system: The system turn, in the same way.
        messages: Whole conversations instead of `prompt`: a list of OpenAI messages whose texts are
            templates, or an expression of List(Struct{role, content}). An image part's url may be
            `"{column}"` over image addresses or image bytes.
        response_model: A pydantic model: its JSON schema goes into the request, and the result has
            a typed `parsed` column.
        extra_body: Parameters that OpenAI's API does not know, sent as they are.
        endpoint: "chat" for chat completions, "responses" for OpenAI's Responses API (parameters are
            then that API's), "moderations" to have texts judged (`response` is the verdict as JSON).
        mode: "batch" uses the provider's batch API where it has one; "immediate" sends now.
        key: The column that identifies rows; None: their position.
        prefix: Put before the names of the columns that the result adds.
        name: What people see; None: the first words of the prompt.
        metadata: Up to 13 pairs of text, kept with the job and given to the provider where its batches
            have a place for them (the plan warns where not). Keys have up to 64 characters, values 512.
        budget_usd: Refuse to send when the high end of the estimate is above this.
        prices: Prices by hand, in US dollars per million tokens:
            `{"openai/my-model": {"input": 0.25, "output": 2}}`. Refused when none is for a model of the
            job; the plan warns of each that is for none.
        retry: How often a row is tried when the other side stumbles.
        concurrency: Requests at once where batchframe sends them itself.
        on_invalid: What becomes of a row whose own values make a request that its provider would
            refuse: "row_error" leaves it out, with the error `invalid_request`; "raise" refuses the
            call. What is wrong for all rows is refused in any case.
        strict: Refuse the call when the plan has warnings, such as a parameter that the provider
            ignores.
        again: Make a new job although one exists for the same call.
        **parameters: Any OpenAI body parameter, constant or an expression with one value per row.

    Returns:
        The job, running in the background.

    Raises:
        InputError: The call or the frame is at fault (see the tree in `batchframe.errors`).
        SetupError: An extra, a model's weights or a key is missing.
        WorkspaceError: The workspace cannot be used.
    """
    request = _chat_request(
        frame, model=model, prompt=prompt, system=system, messages=messages,
        response_model=response_model, extra_body=extra_body, endpoint=endpoint,
        parameters=parameters, mode=mode, key=key, prefix=prefix, name=name, metadata=metadata, budget_usd=budget_usd,
        prices=prices, retry=retry, concurrency=concurrency, on_invalid=on_invalid, strict=strict,
    )  # fmt: skip
    return _submit(request, again=again)


def plan(
    frame: Frame,
    *,
    model: Text,
    prompt: Text | None = None,
    system: Text | None = None,
    messages: Messages | None = None,
    response_model: type[BaseModel] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Asking = "chat",
    mode: Mode = "batch",
    key: str | None = None,
    prefix: str = "",
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Mapping[str, Decimal | str | float]] | None = None,
    retry: Retry | None = None,
    concurrency: int | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    again: bool = False,
    **parameters: Any,
) -> Plan:
    """Say what `submit` with the same arguments would do: parts, tokens, dollars; nothing is sent.

    Args and errors are those of `submit`; a budget that does not fit is a refusal in the plan.

    Returns:
        The plan; `plan.submit()` makes the job.
    """
    request = _chat_request(
        frame, model=model, prompt=prompt, system=system, messages=messages,
        response_model=response_model, extra_body=extra_body, endpoint=endpoint,
        parameters=parameters, mode=mode, key=key, prefix=prefix, name=name, metadata=metadata, budget_usd=budget_usd,
        prices=prices, retry=retry, concurrency=concurrency, on_invalid=on_invalid, strict=strict,
    )  # fmt: skip
    return _plan(request, again=again)


def run(frame: Frame, **options: Any) -> pl.DataFrame:
    """Ask now and wait: `submit(..., mode="immediate").result()`.

    Args:
        frame: A DataFrame or LazyFrame.
        **options: Those of `submit`, but `mode`.

    Returns:
        The frame with the answers, as `Job.result()` gives it.
    """
    if "mode" in options:
        raise InputError("run() is immediate by definition; use submit(mode=...) to choose.")
    return submit(frame, mode="immediate", **options).result()


def embed(
    frame: Frame,
    column: Text,
    *,
    model: str,
    dimensions: int | None = None,
    extra_body: Mapping[str, Any] | None = None,
    mode: Mode = "batch",
    key: str | None = None,
    prefix: str = "",
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Mapping[str, Decimal | str | float]] | None = None,
    retry: Retry | None = None,
    concurrency: int | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    again: bool = False,
) -> Job:
    """Turn a text column into vectors, as a job like any other.

    Args:
        frame: A DataFrame or LazyFrame.
        column: A column's name, a template with `{column}` placeholders, or an expression.
        model: `provider/model` of an embedding model.
        dimensions: Length of the vectors, where the model can choose.
        extra_body: As for `submit`, and so are the rest.

    Returns:
        The job; `result()` adds `embedding` Array(Float32, n), `error`, `model`, `input_tokens` and
        `cost_usd`.
    """
    from batchframe.frame.prompt import embedding_shape  # noqa: PLC0415 - verbs load on first use

    columns = _schema_of(frame)
    if isinstance(dimensions, pl.Expr):
        raise InputError("dimensions= is one number: all vectors of a column are of one length.")
    parameters = {} if dimensions is None else {"dimensions": dimensions}
    given, extra = _checked(parameters, extra_body, Endpoint.EMBEDDINGS)
    shape = embedding_shape(columns, column, given, extra)
    request = _request(
        frame, shape, model=model, schema=None, parameters=parameters, mode=mode, key=key,
        prefix=prefix,
        name=arguments.name(name, f"embed {column if isinstance(column, str) else ''}"),
        metadata=metadata, budget_usd=budget_usd, prices=prices, retry=retry,
        concurrency=concurrency, on_invalid=on_invalid, strict=strict, given=given,
    )  # fmt: skip
    return _submit(request, again=again)


def requests(
    frame: Frame,
    *,
    model: Text,
    prompt: Text | None = None,
    system: Text | None = None,
    messages: Messages | None = None,
    response_model: type[BaseModel] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Asking = "chat",
    key: str | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    **parameters: Any,
) -> pl.DataFrame:
    """Show the requests that `submit` would send, one row each.

    Args and errors are those of `submit`; what says nothing of a request, such as `name` or
    `budget_usd`, is checked and then left aside.

    Returns:
        `row` Int64, `custom_id` String, `model` String, `body` String (the OpenAI body as JSON,
        null where the row is not sent) and `error` String (why not).
    """
    from batchframe.frame.requests import SCHEMA, chunks  # noqa: PLC0415
    from batchframe.orchestration.plan import refuse, warned  # noqa: PLC0415

    beside = {name: parameters.pop(name) for name in arguments.NAMES & parameters.keys()}
    arguments.again(beside.pop("again", False))
    request = _chat_request(
        frame, model=model, prompt=prompt, system=system, messages=messages,
        response_model=response_model, extra_body=extra_body, endpoint=endpoint,
        parameters=parameters, key=key, on_invalid=on_invalid, strict=strict,
        **beside,
    )  # fmt: skip
    found = pl.concat([pl.DataFrame(schema=SCHEMA), *chunks(frame, request.recipe)])
    if strict:
        sent = found.filter(pl.col("error").is_null())
        refuse(warned(request, sent["model"].unique(maintain_order=True)))
    return found


def preview(
    frame: Frame,
    n: int = 3,
    *,
    model: Text,
    prompt: Text | None = None,
    system: Text | None = None,
    messages: Messages | None = None,
    response_model: type[BaseModel] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Asking = "chat",
    key: str | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    **parameters: Any,
) -> list[str]:
    """Show the exact lines that would travel for the first rows.

    Args:
        frame: A DataFrame or LazyFrame.
        n: How many rows of it to look at. Those that would not be sent have no line: `requests`
            says why.
        model: As for `submit`, and so are the rest.

    Returns:
        JSON texts, one line of the batch file each.
    """
    from batchframe.frame.encode import encode_line  # noqa: PLC0415
    from batchframe.providers.registry import dialect_of, model_ref  # noqa: PLC0415

    _schema_of(frame)
    first = frame.head(arguments.rows(n, "n"))
    found = requests(
        first, model=model, prompt=prompt, system=system, messages=messages,
        response_model=response_model, extra_body=extra_body, endpoint=endpoint, key=key,
        on_invalid=on_invalid, strict=strict, **parameters,
    )  # fmt: skip
    sent = found.filter(pl.col("error").is_null())
    refs = {name: model_ref(name) for name in sent["model"].unique()}
    asked = arguments.endpoint(endpoint)
    words = {name: dialect_of(ref, asked) for name, ref in refs.items()}
    return [
        encode_line(custom_id, body, refs[name].name, words[name], asked).decode()
        for custom_id, name, body in sent.select("custom_id", "model", "body").iter_rows()
    ]


def encode(
    frame: Frame,
    *,
    to: str | os.PathLike[str],
    model: Text,
    prompt: Text | None = None,
    system: Text | None = None,
    messages: Messages | None = None,
    response_model: type[BaseModel] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Asking = "chat",
    key: str | None = None,
    on_invalid: OnInvalid = "row_error",
    strict: bool = False,
    **parameters: Any,
) -> list[Path]:
    """Write the provider's batch files, as `submit` would upload them; nothing is sent.

    Args and errors are those of `submit`.

    Args:
        to: A folder, made where it is not there. Files of an earlier encode there are replaced; other
            files of the same names are refused, and nothing is written.

    Returns:
        The files, one a part. Beside them stands `ids.parquet`, which says which row each line is:
        `row` Int64, `custom_id`, `key`, `model`, `file` and `error` String (why a row is in no file).
    """
    from batchframe.orchestration import offline  # noqa: PLC0415

    folder = offline.folder_of(to)
    beside = {name: parameters.pop(name) for name in arguments.NAMES & parameters.keys()}
    arguments.again(beside.pop("again", False))
    request = _chat_request(
        frame, model=model, prompt=prompt, system=system, messages=messages,
        response_model=response_model, extra_body=extra_body, endpoint=endpoint,
        parameters=parameters, key=key, on_invalid=on_invalid, strict=strict, **beside,
    )  # fmt: skip
    return offline.encode(_workspace(None), request, folder)


def decode(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    model: str,
    ids: str | os.PathLike[str] | None = None,
    endpoint: Asking = "chat",
    response_model: type[BaseModel] | None = None,
    prices: Mapping[str, Mapping[str, Decimal | str | float]] | None = None,
) -> pl.DataFrame:
    """Read a provider's result files as a job would.

    Args:
        paths: Output and error files, in any order.
        model: `provider/model`: whose words they are in, and what prices are taken.
        ids: The `ids.parquet` that `encode` wrote: every row of it comes out, as an answer or as an
            error. None: rows are counted as their ids first appear in the files.
        endpoint: What the requests were for.
        response_model: Adds `parsed`; what does not fit is a row error.
        prices: Prices by hand, as for `submit`.

    Returns:
        One row a request, with the columns of `Job.outputs()`.

    Raises:
        InputError: The call is at fault.
        FileError: A file is not there, or is not what it should be.
    """
    from batchframe.orchestration import offline  # noqa: PLC0415
    from batchframe.orchestration.priced import refuse_idle  # noqa: PLC0415
    from batchframe.providers.registry import model_ref  # noqa: PLC0415

    if not isinstance(model, str):
        raise InputError(f"model= must be 'provider/model', not {shown(model)}.")
    schema = None
    if response_model is not None:
        from batchframe.frame.schema import response_schema  # noqa: PLC0415

        schema = response_schema(response_model)
    several = _result_files(paths)
    given_prices = arguments.prices(prices)
    refuse_idle(given_prices or {}, [str(model_ref(model))])
    return offline.decode(
        several,
        model_ref(model),
        ids=None if ids is None else Path(ids).expanduser(),
        endpoint=arguments.endpoint(endpoint),
        schema=schema,
        prices=given_prices,
    )


def compare(
    frame: Frame,
    *,
    models: Sequence[str] | Mapping[str, str] | str,
    scorers: Mapping[str, pl.Expr],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    confidence: float = 0.95,
    baseline: str | None = None,
    **options: Any,
) -> Comparison:
    """Ask several models, or ask in several ways, and put quality beside cost.

    Args:
        frame: A DataFrame or LazyFrame with the gold answers beside the questions.
        models: `provider/model` names, or label -> name.
        scorers: Name -> expression over the result frame that gives a score per row.
        variants: Name -> options of `submit` that differ, such as `prompt` or `response_model`.
        confidence: Of the intervals.
        baseline: The entry that others are compared with; None: the leader.
        **options: Options of `submit` that all entries share.

    Returns:
        The comparison: `.leaderboard`, `.long`, `.wide`, `.plot()`, `.errors`, `.jobs`.
    """
    from batchframe.evals.compare import compare as comparing  # noqa: PLC0415

    _schema_of(frame)

    def ask(one: pl.DataFrame, /, **its_own: Any) -> Job:
        return submit(one, **its_own)

    return comparing(
        frame, models=models, variants=variants, scorers=scorers, submit=ask,
        confidence=confidence, baseline=baseline, **options,
    )  # fmt: skip


def job(job_id: str, *, workspace: str | os.PathLike[str] | None = None) -> Job:
    """Open a job of the workspace, in any process, any day later.

    Args:
        job_id: Its id, or a beginning of it that only one job has.
        workspace: A folder other than the current workspace.

    Raises:
        UnknownNameError: No job has this id; the nearest ids follow.
    """
    from batchframe.orchestration.job import Job  # noqa: PLC0415

    if not isinstance(job_id, str):
        raise InputError(
            f"A job's id is text such as 'job-...', not {shown(job_id)}. See bf.jobs()."
        )
    here = _workspace(workspace)
    known = [row["id"] for row in here.store.jobs()]
    found = [i for i in known if i == job_id] or [i for i in known if i.startswith(job_id)]
    if len(found) != 1 or not job_id:
        some = ", ".join(known[:5]) or "none"
        raise UnknownNameError(
            f"{'No' if not found else 'More than one'} job '{job_id}' in {here.path}."
            f"{nearest(job_id, known)} The newest: {some}. All of them: bf.jobs()."
        )
    return Job(here, found[0])


def jobs(*, workspace: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """List the workspace's jobs, the newest first.

    Args:
        workspace: A folder other than the current workspace.

    Returns:
        `id`, `name`, `model`, `mode`, `state`, `total`, `done`, `failed`, `input_tokens`,
        `output_tokens`, `cost_usd` Float64 (null when unknown), `created_at` and `ended_at`
        Datetime(us, UTC), `message`.
    """
    from batchframe.orchestration.follow import now  # noqa: PLC0415

    here = _workspace(workspace)
    seen = []
    for row in here.store.jobs():
        with contextlib.suppress(JobError):  # another process has forgotten it since
            seen.append(now(here, row["id"]))
    stamp = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        [
            (
                v.id, v.name, v.model, v.mode, v.state.value, v.total, v.done, v.failed,
                v.input_tokens, v.output_tokens,
                float(v.cost) if v.cost is not None and v.price == "known" else None,
                v.created_at, v.ended_at, v.message,
            )
            for v in seen
        ],
        schema={
            "id": pl.String, "name": pl.String, "model": pl.String, "mode": pl.String,
            "state": pl.String, "total": pl.Int64, "done": pl.Int64, "failed": pl.Int64,
            "input_tokens": pl.Int64, "output_tokens": pl.Int64, "cost_usd": pl.Float64,
            "created_at": pl.Float64, "ended_at": pl.Float64, "message": pl.String,
        },
        orient="row",
    ).with_columns(
        pl.from_epoch((pl.col(c) * 1_000_000).cast(pl.Int64), time_unit="us").cast(stamp)
        for c in ("created_at", "ended_at")
    )  # fmt: skip


# What follows checks arguments and puts a request together.


def _result_files(paths: Any) -> list[Path]:
    """Check what `decode` is to read."""
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(several, Sequence) or not all(
        isinstance(one, str | os.PathLike) for one in several
    ):
        raise InputError(
            f"decode() takes a path or a list of paths, not {shown(paths)}: bf.decode('results.jsonl', ...)."
        )
    if not several:
        raise InputError("decode() needs at least one result file.")
    return [Path(one).expanduser() for one in several]


def _chat_request(
    frame: Frame,
    *,
    model: Text,
    prompt: Text | None,
    system: Text | None,
    messages: Messages | None,
    response_model: type[BaseModel] | None,
    extra_body: Mapping[str, Any] | None,
    endpoint: Any,
    parameters: Mapping[str, Any],
    **rest: Any,
) -> Request:
    from batchframe.frame.prompt import chat_shape, moderation_shape  # noqa: PLC0415

    columns = _schema_of(frame)
    asked = arguments.endpoint(endpoint)
    body, schema = _with_schema(parameters, response_model, asked)
    given, extra = _checked(body, extra_body, asked)
    rest["given"] = given
    if asked is Endpoint.MODERATIONS:
        arguments.alone(asked, system=system, messages=messages, extra_body=extra_body)
        shape = moderation_shape(columns, prompt)
    else:
        shape = chat_shape(
            columns, prompt=prompt, system=system, messages=messages, parameters=given,
            extra_body=extra, endpoint=asked,
        )  # fmt: skip
    name = arguments.name(rest.pop("name", None), _name(prompt, messages))
    return _request(
        frame, shape, model=model, schema=schema, parameters=parameters, name=name, **rest
    )


def _with_schema(
    parameters: Mapping[str, Any], response_model: Any, endpoint: Endpoint
) -> tuple[dict[str, Any], ResponseSchema | None]:
    """Add what a response model asks for to the parameters."""
    if response_model is None:
        return dict(parameters), None
    from batchframe.dialects import responses  # noqa: PLC0415
    from batchframe.frame.schema import response_format, response_schema  # noqa: PLC0415

    arguments.answers(endpoint)
    name = "text" if endpoint is Endpoint.RESPONSES else "response_format"
    if name in parameters:
        raise InputError(f"response_model= writes {name} itself; give only one of them.")
    schema = response_schema(response_model)
    wanted = response_format(schema)
    return {**parameters, name: responses.text_format(wanted) if name == "text" else wanted}, schema


def _request(
    frame: Frame,
    shape: Shape,
    *,
    model: Text,
    schema: ResponseSchema | None,
    parameters: Mapping[str, Any],
    name: str,
    mode: Mode = "batch",
    key: Any = None,
    prefix: Any = "",
    metadata: Any = None,
    budget_usd: Any = None,
    prices: Mapping[str, Any] | None = None,
    retry: Any = None,
    concurrency: Any = None,
    on_invalid: Any = "row_error",
    strict: Any = False,
    given: Mapping[str, Any],
) -> Request:
    """Check what all verbs share and put the request together."""
    from batchframe.frame.join import refuse_collisions  # noqa: PLC0415
    from batchframe.frame.requests import Recipe  # noqa: PLC0415
    from batchframe.immediate.retry import Retry  # noqa: PLC0415
    from batchframe.orchestration.effects import Memory  # noqa: PLC0415
    from batchframe.orchestration.plan import Request  # noqa: PLC0415

    columns = _schema_of(frame)
    _check_model(model, shape.endpoint, columns)
    settings: dict[str, Any] = {
        "key": arguments.key(key, columns),
        "prefix": arguments.prefix(prefix),
    }
    refuse_collisions(
        columns,
        embedding=shape.endpoint is Endpoint.EMBEDDINGS,
        parsed=schema is not None,
        prefix=prefix,
    )
    guard = _guard(shape, given, model)
    given_prices = arguments.prices(prices)
    if given_prices is not None:
        settings["prices"] = given_prices
    if schema is not None:
        settings["response_schema"] = schema.to_json()
    tries = arguments.retry(retry) or Retry()
    return Request(
        # a plan may wait; what the user changes in place meanwhile was not planned
        frame=frame.clone() if isinstance(frame, pl.DataFrame) else frame,
        recipe=Recipe(shape, model, key, guard, arguments.on_invalid(on_invalid)),
        mode=arguments.mode(mode),
        name=name,
        settings=settings,
        memory=Memory(schema, tries, arguments.concurrency(concurrency), given_prices),
        metadata=arguments.metadata(metadata),
        budget_usd=arguments.dollars(budget_usd),
        parameters=parameters,
        schema=schema,
        strict=arguments.strict(strict),
    )


def _guard(shape: Shape, given: Mapping[str, Any], model: Text) -> Guard:
    """Make what holds the requests to their provider; of one model the constants are looked at now."""
    from batchframe.frame.validation import Guard  # noqa: PLC0415
    from batchframe.orchestration.plan import tabled  # noqa: PLC0415

    guard = Guard(shape, frozenset(given), tabled, alone=isinstance(model, str))
    if isinstance(model, str):
        guard.model(model)
    return guard


def _check_model(model: Any, endpoint: Endpoint, columns: pl.Schema) -> None:
    """Check that the model can be asked; an expression's names are checked row by row, later."""
    from batchframe.frame.prompt import Builder  # noqa: PLC0415
    from batchframe.providers.registry import check, model_ref  # noqa: PLC0415

    if isinstance(model, pl.Expr):
        dtype = Builder(columns).dtype(model, "model=")
        if dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null, pl.Unknown):
            raise ColumnError(
                f"model= is {dtype} in this frame; each row's must be text such as 'local/smollm2'."
            )
        return
    if not isinstance(model, str):
        raise InputError(f"model= must be 'provider/model' or a pl.Expr, not {shown(model)}.")
    check(model_ref(model), endpoint)


def _schema_of(frame: Frame) -> pl.Schema:
    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise InputError(
            f"batchframe works on a Polars DataFrame or LazyFrame, not {type(frame).__name__}. "
            "For pandas: pl.from_pandas(df)."
        )
    try:
        return frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise ColumnError(f"The LazyFrame cannot be evaluated: {error}") from error
    except OSError as error:
        raise FileError(f"The LazyFrame's source cannot be read: {error}") from error


def _checked(
    parameters: Mapping[str, Any], extra_body: Any, endpoint: Endpoint
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check the parameters' names and constants, and that what only the server knows stays apart."""
    from batchframe.dialects.parameters import check_parameters  # noqa: PLC0415
    from batchframe.frame.prompt import unicode  # noqa: PLC0415

    constants = {k: None if isinstance(v, pl.Expr) else v for k, v in parameters.items()}
    check_parameters(constants, endpoint, known_elsewhere=arguments.NAMES)
    given = {k: v for k, v in parameters.items() if v is not None}
    if extra_body is not None and not isinstance(extra_body, Mapping):
        raise InputError(
            f"extra_body={shown(extra_body)}: it is a mapping, for example {{'top_k': 40}}."
        )
    extra = dict(extra_body or {})
    for name in extra:
        if not isinstance(name, str):
            raise InputError(f"extra_body={{{shown(name)}: ...}}: a parameter's name is text.")
        unicode(name, f"extra_body={{{shown(name)}: ...}}: the name")
    taken = ({"model", "messages", "input", "stream"} | given.keys()) & extra.keys()
    if taken:
        raise InputError(
            f"extra_body= must not hold '{min(taken)}': it has an argument of its own."
        )
    return given, extra


def _name(prompt: Any, messages: Any) -> str:
    """Give a job without a name the first words of what it asks."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(messages, Sequence) and not isinstance(messages, str) and messages:
        last = messages[-1]
        content = last.get("content") if isinstance(last, Mapping) else None
        if isinstance(content, str):
            return content
    return "job"


def _workspace(path: str | os.PathLike[str] | None) -> Workspace:
    from batchframe.ledger import workspace as workspaces  # noqa: PLC0415

    if path is None:
        return workspaces.current()
    chosen = Path(path).expanduser()
    if not chosen.is_dir():
        raise InputError(f"There is no workspace at {chosen}.")
    return workspaces.opened(chosen)


def _plan(request: Request, *, again: bool) -> Plan:
    """Stage a request in the current workspace."""
    from batchframe.orchestration.plan import Plan, stage  # noqa: PLC0415

    arguments.again(again)
    workspace = _workspace(None)
    return Plan(workspace, request, stage(workspace, request), lambda p: _launch(p, again=again))


def _submit(request: Request, *, again: bool) -> Job:
    """Make a request a job; a key that is missing is told before a large frame is written down."""
    from batchframe.orchestration.plan import ready  # noqa: PLC0415

    if isinstance(request.recipe.model, str):
        ready(request.recipe.model, request.recipe.shape.endpoint)
    return _plan(request, again=again).submit()


def _launch(planned: Plan, *, again: bool) -> Job:
    """Make a plan a job, or find the job that the same call has made before."""
    from batchframe.orchestration.launch import launch  # noqa: PLC0415

    return launch(planned.workspace, planned.request, planned.staged, again=again)
