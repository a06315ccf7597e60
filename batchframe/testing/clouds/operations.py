"""The calls that OpenAI's surface is made of: files and batches; other flavours borrow what they share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batchframe.model import Json
from batchframe.testing.clouds import answers, checks, lifecycle
from batchframe.testing.clouds.flavour import Route
from batchframe.testing.clouds.nouns import ENDED, Batch, Row, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

if TYPE_CHECKING:
    from batchframe.testing.clouds.cloud import Cloud

PAGE = (20, 100)
"""Batches on a page of a list: unless told, and at most."""


def upload(cloud: Cloud, call: Call) -> Reply:
    """POST files: take a file in."""
    form = call.form()
    if "file" not in form:
        raise Refused(400, "'file' is a required property")
    name, data = form["file"]
    purpose = form.get("purpose", (None, b""))[1].decode()
    check_size(cloud, data)
    seconds = expiry(cloud, form)
    check_quota(cloud, seconds)
    if purpose == "batch" and not (name or "").endswith(".jsonl"):
        raise Refused(400, "Invalid file format for Batch API. Must be .jsonl")
    kept = cloud.keep(name or "file.jsonl", data, purpose=purpose, seconds=seconds)
    if seconds is None and purpose != "batch":
        kept.expires = None
    return reply(cloud.flavour.file(cloud, kept))


def check_size(cloud: Cloud, data: bytes, *, direct: bool = True) -> None:
    """Refuse an upload that is too large, where uploads are what is refused.

    Args:
        cloud: Whose limits hold.
        data: The file.
        direct: Whether it came with the call itself, and not to a signed address.
    """
    large = cloud.flavour.oversize == "upload" and len(data) > cloud.limits.bytes
    if large or (direct and cloud.direct is not None and len(data) > cloud.direct):
        raise Refused(413, "File is too large.")


def expiry(cloud: Cloud, form: dict[str, tuple[str | None, bytes]]) -> int | None:
    """Read `expires_after` out of a form: seconds, or None when it is not there."""
    raw = form.get("expires_after[seconds]", form.get("expires_after", (None, b"")))[1].decode()
    if not raw:
        return None
    least, most = cloud.flavour.expiry
    if not raw.isdigit() or not least <= int(raw) <= most:
        said = f"Invalid 'expires_after.seconds': expected an integer between {least} and {most}."
        raise Refused(400, said, param="expires_after.seconds", code="invalid_value")
    return int(raw)


def check_quota(cloud: Cloud, seconds: int | None) -> None:
    """Refuse one file too many: those without expiry have a quota of their own (Azure)."""
    if cloud.flavour.name != "azure":
        return
    most = cloud.file_quota[0 if seconds is None else 1]
    alike = [
        file
        for file in cloud.store.values()
        if cloud.stored(file.id)
        and file.purpose == "batch"
        and (file.expires is None) == (seconds is None)
    ]
    if cloud.faults.file_quota or len(alike) >= most:
        kind = "without" if seconds is None else "with"
        said = f"The quota for files {kind} expiry is reached. The maximum is {most}."
        raise Refused(400, said, code="quotaExceeded")


def the_file(cloud: Cloud, call: Call) -> StoredFile:
    """Give the file that a path names."""
    file = cloud.stored(call.ids["file"])
    if file is None:
        raise Refused(404, f"No such File object: {call.ids['file']}", param="id", kind="not_found")
    return file


def get_file(cloud: Cloud, call: Call) -> Reply:
    """GET files/{id}."""
    return reply(cloud.flavour.file(cloud, the_file(cloud, call)))


def list_files(cloud: Cloud, call: Call) -> Reply:
    """GET files: newest first, by purpose, in pages."""
    wanted = call.asked("purpose")
    kept = [
        file
        for file in reversed(cloud.store.values())
        if cloud.stored(file.id) and wanted in ("", file.purpose)
    ]
    return reply(page(call, [cloud.flavour.file(cloud, file) for file in kept], 10_000, 10_000))


def content(cloud: Cloud, call: Call) -> Reply:
    """GET files/{id}/content: raw bytes, or a part of them where `Range` is honoured."""
    return download(cloud, call, the_file(cloud, call).data)


def download(cloud: Cloud, call: Call, data: bytes) -> Reply:
    """Give bytes, or those after the `Range` header's start."""
    kind = "application/octet-stream"
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("range", ""))
    if not wanted or not cloud.faults.ranges:
        return Reply(200, data, {}, kind=kind)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    if start >= len(data):
        return Reply(416, b"", {"content-range": f"bytes */{len(data)}"}, kind=kind)
    span = {"content-range": f"bytes {start}-{end}/{len(data)}", "accept-ranges": "bytes"}
    return Reply(206, data[start : end + 1], span, kind=kind)


def delete_file(cloud: Cloud, call: Call) -> Reply:
    """DELETE files/{id}."""
    file = the_file(cloud, call)
    del cloud.store[file.id]
    return reply({"id": file.id, "object": "file", "deleted": True})


def create(cloud: Cloud, call: Call) -> Reply:
    """POST batches."""
    given = call.json()
    _check_create(cloud, given)
    file_id = str(given["input_file_id"])
    check_queue(cloud, file_id)
    check_file(cloud, file_id)
    batch = Batch(
        cloud.new_id(cloud.flavour.prefixes[0]),
        given["endpoint"],
        cloud.clock.now,
        cloud.clock.now + window(given.get("completion_window"), cloud.flavour.window),
        cloud.flavour.pace,
        input_file_id=file_id,
        metadata=given.get("metadata"),
    )
    batch.extra["completion_window"] = given.get("completion_window", "24h")
    if given.get("output_expires_after"):
        batch.extra["output_seconds"] = given["output_expires_after"].get("seconds")
    return reply(cloud.shown(cloud.begin(batch)))


def _check_create(cloud: Cloud, given: Json) -> None:
    flavour = cloud.flavour
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not given.get(name):
            said = f"Missing required parameter: '{name}'."
            raise Refused(400, said, param=name, code="missing_required_parameter")
    choices = (("endpoint", flavour.endpoints), ("completion_window", flavour.windows))
    for name, allowed in choices:
        if allowed and given[name] not in allowed:
            named = ", ".join(f"'{one}'" for one in allowed)
            said = f"Invalid value: '{given[name]}'. Supported values are: {named}."
            raise Refused(400, said, param=name, code="invalid_value")
    wrong = checks.metadata_problem(given.get("metadata"))
    if wrong is not None:
        raise Refused(400, wrong[0], param=wrong[1], code=wrong[2])


def sync_routes(base: str) -> tuple[Route, ...]:
    """Give the routes of the calls that are answered at once, below a base path."""
    return tuple(("POST", f"{base}{end}", "sync", sync) for end in answers.SHAPES)


def sync(cloud: Cloud, call: Call) -> Reply:
    """POST chat/completions and its like: the same answers as in a batch, now."""
    now = cloud.clock.now
    batch = Batch("", call.path, now, now, cloud.flavour.pace)
    outcome = lifecycle.answer(cloud, batch, Row(None, call.path, call.json()))
    if outcome.good:
        return reply(outcome.body)
    raise Refused(outcome.status, outcome.message, code=outcome.code or None)


def check_queue(cloud: Cloud, file_id: str | None) -> None:
    """Refuse a create when the fault says that the queue is full."""
    if cloud.faults.count("queue_full_at_create"):
        batch = Batch("", "", 0, 0, cloud.flavour.pace, input_file_id=file_id)
        said = cloud.queue_problem(batch).message
        raise Refused(cloud.faults.queue_full_status, said, code="token_limit_exceeded")


def check_file(cloud: Cloud, file_id: str) -> None:
    """Refuse a create whose file is too large, not ready, or (where they look) not there."""
    file = cloud.stored(file_id)
    if file is None:
        if cloud.flavour.missing_file == "now":
            raise Refused(404, f"No such File object: {file_id}", param="input_file_id")
        return
    if cloud.clock.now < file.ready:
        said = f"The file '{file_id}' is not processed yet. Please try again when it is."
        raise Refused(400, said, code="invalidPayload")
    if cloud.flavour.oversize == "create" and len(file.data) > cloud.limits.bytes:
        batch = Batch("", "", 0, 0, cloud.flavour.pace, input_file_id=file_id)
        model = cloud.model_of(batch) or "requested"
        said = (
            f"The batch input file is larger than the {cloud.limits.bytes} maximum for the {model}"
        )
        raise Refused(413, f"{said} model")


def window(given: Any, default: float) -> float:
    """Read "24h" or "7d" as seconds."""
    units = {"h": 3600.0, "d": 86_400.0}
    match = re.fullmatch(r"(\d+)([hd])", str(given))
    return int(match[1]) * units[match[2]] if match else default


def the_batch(cloud: Cloud, call: Call) -> Batch:
    """Give the batch that a path names, as it is now."""
    batch = cloud.job(call.ids["batch"])
    if batch is None:
        raise Refused(404, f"No batch found with id '{call.ids['batch']}'.")
    return batch


def get(cloud: Cloud, call: Call) -> Reply:
    """GET batches/{id}."""
    return reply(cloud.shown(the_batch(cloud, call)))


def list_batches(cloud: Cloud, call: Call) -> Reply:
    """GET batches: newest first, in pages."""
    shown = [cloud.shown(batch) for batch in cloud.listed()]
    return reply(page(call, shown, *PAGE, cloud.faults.short_pages))


def page(call: Call, items: list[Json], usual: int, most: int, shortest: int = 0) -> Json:
    """Cut one page out of a list, as OpenAI does: `after` an id, `limit` at most.

    Args:
        call: Whose query says `after` and `limit`.
        items: The whole list.
        usual: How many, unless told.
        most: How many may be asked for.
        shortest: What the fault `short_pages` says.
    """
    limit = call.asked("limit", str(usual))
    if not limit.isdigit() or not 1 <= int(limit) <= most:
        said = (
            f"Invalid 'limit': expected an integer between 1 and {most}, but got {limit} instead."
        )
        raise Refused(400, said, param="limit", code="invalid_value")
    after = call.asked("after")
    ids = [item.get("id") for item in items]
    start = ids.index(after) + 1 if after in ids else 0
    cut = items[start : start + min(int(limit), shortest or most)]
    return {
        "object": "list",
        "data": cut,
        "first_id": cut[0].get("id") if cut else None,
        "last_id": cut[-1].get("id") if cut else None,
        "has_more": start + len(cut) < len(items),
    }


def cancel(cloud: Cloud, call: Call) -> Reply:
    """POST batches/{id}/cancel."""
    batch = the_batch(cloud, call)
    if batch.stage in ENDED:
        raise Refused(409, f"Cannot cancel a batch with status '{batch.stage}'.")
    lifecycle.cancel(cloud, batch)
    return reply(cloud.shown(batch))
