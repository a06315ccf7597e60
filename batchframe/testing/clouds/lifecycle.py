"""A batch is what the clock says: nothing runs in between, each look at it takes it as far as it got.

validating -> failed, or in_progress -> finalizing -> completed; a batch that hangs becomes expired when
its window closes; cancelling becomes cancelled, or completed when the cancellation came too late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from batchframe.model import Json
from batchframe.testing.clouds import answers, checks, results
from batchframe.testing.clouds.nouns import ENDED, Batch, Line, Outcome, Problem, Row

if TYPE_CHECKING:
    from batchframe.testing.clouds.cloud import Cloud

EXPIRED = (
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
CANCELLED = ("batch_cancelled", "This request was not executed because the batch was cancelled.")


def settle(cloud: Cloud, batch: Batch) -> None:
    """Take a batch as far as the clock allows."""
    before = None
    while batch.stage != before and batch.stage in STAGES:
        before = batch.stage
        STAGES[before](cloud, batch)


def cancel(cloud: Cloud, batch: Batch) -> None:
    """Ask a batch to stop; what has begun is finished or dropped within its pace."""
    settle(cloud, batch)
    if batch.stage not in ENDED:
        _go(batch, "cancelling", cloud.clock.now)


def _go(batch: Batch, stage: str, moment: float) -> None:
    batch.stage = stage
    batch.times[stage] = moment


def _validating(cloud: Cloud, batch: Batch) -> None:
    moment = batch.times["validating"] + batch.pace.validating
    if cloud.clock.now < moment:
        return
    batch.problem = batch.problem or _load(cloud, batch)
    _go(batch, "failed" if batch.problem else "in_progress", moment)
    if batch.stage == "failed":
        batch.rows = []
        results.write(cloud, batch, None)


def _load(cloud: Cloud, batch: Batch) -> Problem | None:
    if batch.input_file_id is None:
        return None  # its rows came with the call that made it
    stored = cloud.stored(batch.input_file_id)
    if stored is None or (stored.purpose != "batch" and cloud.flavour.rules.purpose):
        said = f"Cannot find file {batch.input_file_id}, or organization {cloud.organization}"
        return Problem("invalid_request", f"{said} does not have access to it.", "file_id")
    asked = batch.extra.get("model")  # it stands on the job, not in the lines
    if asked and cloud.models is not None and asked not in cloud.models:
        return Problem("model_not_found", f"Invalid model: {asked}")
    found = checks.read(
        stored.data,
        cloud.flavour,
        endpoint=batch.endpoint,
        models=cloud.models,
        most=cloud.limits.requests,
        inputs=cloud.limits.inputs,
    )
    done = batch.extra.get("done", ())
    batch.rows = [row for row in found.rows if row.custom_id not in done]
    if found.rows and batch.model is None:
        batch.model = cloud.snapshot(found.rows[0].body.get("model"))
    return found.problem


def _in_progress(cloud: Cloud, batch: Batch) -> None:
    start, now = batch.times["in_progress"], cloud.clock.now
    end = start + batch.pace.running
    reach = int(len(batch.rows) * batch.share)
    if batch.leap and now >= end and cloud.step > 0:
        cloud.clock.reach(batch.expires)
        now = cloud.clock.now
    gone = min(1.0, (now - start) / batch.pace.running) if batch.pace.running else 1.0
    run(cloud, batch, min(reach, batch.base + int((len(batch.rows) - batch.base) * gone)))
    if len(batch.lines) == len(batch.rows) and now >= end:
        _go(batch, "finalizing", end)
    elif now >= batch.expires:
        _go(batch, "expired", batch.expires)
        batch.times.setdefault("finalizing", batch.expires)
        results.write(cloud, batch, EXPIRED)


def _finalizing(cloud: Cloud, batch: Batch) -> None:
    moment = batch.times["finalizing"] + batch.pace.finalizing
    if cloud.clock.now >= moment:
        _go(batch, "completed", moment)
        results.write(cloud, batch, None)


def _cancelling(cloud: Cloud, batch: Batch) -> None:
    moment = batch.times["cancelling"] + batch.pace.cancelling
    if cloud.clock.now < moment:
        return
    if cloud.faults.cancel_late and batch.rows:
        run(cloud, batch, len(batch.rows))
        _go(batch, "completed", moment)
        results.write(cloud, batch, None)
    else:
        _go(batch, "cancelled", moment)
        results.write(cloud, batch, CANCELLED)


STAGES: dict[str, Callable[[Cloud, Batch], None]] = {
    "validating": _validating,
    "in_progress": _in_progress,
    "finalizing": _finalizing,
    "cancelling": _cancelling,
}
"""Stage -> what takes a batch out of it, when its time has come."""


def run(cloud: Cloud, batch: Batch, reach: int) -> None:
    """Answer rows until `reach` of them are done."""
    for number in range(len(batch.lines), reach):
        outcome = _quoting(answer(cloud, batch, batch.rows[number], number), cloud.faults.quoted)
        batch.lines.append(Line(outcome.good, orjson.dumps(cloud.flavour.line(batch, outcome))))
        if outcome.good:
            batch.tokens.update(answers.counted(outcome.body))
        else:
            batch.failed += 1
            batch.causes[outcome.message] += 1


def _quoting(outcome: Outcome, quoted: str) -> Outcome:
    """Give a row's refusal as the fault leaves it."""
    if outcome.good or not quoted:
        return outcome
    message, code = f"{outcome.message} {quoted}", f"{outcome.code}{quoted}"
    body = answers.problem(message, code=code)
    return replace(outcome, message=message, code=code, body={**body, quoted: {"sent": quoted}})


def answer(cloud: Cloud, batch: Batch, row: Row, number: int = 0) -> Outcome:
    """Ask the model for one row; whatever goes wrong there is that row's error."""
    asked = batch.extra.get("model") or row.body.get("model") or batch.model or ""
    if cloud.models is not None and asked not in cloud.models:
        said = f"Unable to access model {asked}."
        return _failed(row, number, 404, answers.problem(said, code="model_not_found"))
    wrong = answers.out_of_range(row.body)
    if wrong is not None:
        return _failed(row, number, 400, wrong)
    try:
        text = cloud.answer(seen(batch, row))
    except Exception as error:  # noqa: BLE001 - a raising model is a failing server
        return _failed(row, number, 500, answers.problem(str(error), kind="server_error"))
    if isinstance(text, dict):
        body = dict(text)
        status = body.pop("status_code", 400 if "error" in body else 200)
        if "error" in body:
            return _failed(row, number, status, body)
        return Outcome(row, number, status, body)
    made = answers.Made(
        f"{cloud.unique}{number:08x}",
        int(cloud.clock.now),
        cloud.snapshot(asked) or asked,
        cloud.reasoning_tokens,
    )
    body = answers.body_for(row.url or batch.endpoint, row.body, text, made)
    cloud.flavour.finish(body)
    return Outcome(row, number, 200, body)


def seen(batch: Batch, row: Row) -> Json:
    """Give a request as the model sees it: a model that stands on the job is put where it belongs."""
    model = batch.extra.get("model")
    return {"model": model, **row.body} if model and isinstance(row.body, dict) else row.body


def _failed(row: Row, number: int, status: int, body: dict[str, object]) -> Outcome:
    error = body["error"]
    inner = error if isinstance(error, dict) else {"message": str(error)}
    message, code = str(inner.get("message", "")), str(inner.get("code") or "")
    return Outcome(row, number, status, body, code, message)
