"""Result files, and everything that can be wrong with their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from batchframe.testing.clouds.faults import Faults
from batchframe.testing.clouds.nouns import Batch, Outcome

if TYPE_CHECKING:
    from batchframe.testing.clouds.cloud import Cloud

PAGED_GARBAGE = (b"null", b"{}", b'"text"', b"[]", b'{"batch_request_id": 7}', b"0")
"""What stands on a page where a result should: it is JSON all the same, or there would be no page."""

GARBAGE = (
    b"<html>502 Bad Gateway</html>",
    b"",
    b'{"id": "batch_req_',
    b"null",
    b'"text"',
    b"\xff\xfe",
)
"""What stands where a result line should; taken in turn."""


def write(cloud: Cloud, batch: Batch, unexecuted: tuple[str, str] | None) -> None:
    """Store the result files of a batch that has ended.

    Args:
        cloud: Where they are stored.
        batch: Whose lines they hold.
        unexecuted: Code and message for the rows that never ran; None: there are none.
    """
    flavour = cloud.flavour
    if not flavour.filed:
        return
    good = [line.raw for line in batch.lines if line.good]
    bad = [line.raw for line in batch.lines if not line.good]
    if unexecuted and flavour.unexecuted:
        for number in range(len(batch.lines), len(batch.rows)):
            outcome = Outcome(batch.rows[number], number, 0, None, *unexecuted)
            bad.append(orjson.dumps(flavour.line(batch, outcome)))
    good = damaged(_zeroed(good, cloud.faults.status_zero), cloud.faults)
    empty = flavour.always_files and (batch.problem is None or batch.problem.code != _QUEUE)
    if good or (empty and batch.problem):
        batch.output_file_id = cloud.keep_results(batch, "output", file_of(good, cloud.faults))
    if bad or empty:
        batch.error_file_id = cloud.keep_results(batch, "error", file_of(bad, Faults()))


_QUEUE = "token_limit_exceeded"


def _zeroed(lines: list[bytes], count: int) -> list[bytes]:
    return [_zero(raw) for raw in lines[:count]] + lines[count:]


def _zero(raw: bytes) -> bytes:
    line: dict[str, Any] = orjson.loads(raw)
    if isinstance(line.get("response"), dict):
        line["response"] = {**line["response"], "status_code": 0, "body": None}
    if isinstance(line.get("batch_result"), dict):
        line["batch_result"] = {"response": {}}
    return orjson.dumps(line)


def paged(results: list[bytes], faults: Faults) -> list[bytes]:
    """Give the results of pages as the faults leave them; each stays JSON."""
    found = damaged(_zeroed(results, faults.status_zero), faults, PAGED_GARBAGE)
    if faults.truncated and found:
        last: dict[str, Any] = orjson.loads(found[-1])
        found[-1] = orjson.dumps({"batch_request_id": last["batch_request_id"]})
    return found


def damaged(
    lines: list[bytes], faults: Faults, garbage: tuple[bytes, ...] = GARBAGE
) -> list[bytes]:
    """Give the lines as the faults leave them: fewer, more, in another order."""
    lines = lines[: max(0, len(lines) - faults.missing)]
    strangers = [_renamed(raw, number) for number, raw in enumerate(lines[: faults.unknown_ids])]
    lines = lines + lines[: faults.duplicated] + strangers
    if faults.shuffle:
        lines = lines[1::2] + lines[::2]
    for number in range(faults.garbage):
        lines.insert(number * 2 % (len(lines) + 1), garbage[number % len(garbage)])
    return lines


def _renamed(raw: bytes, number: int) -> bytes:
    line: dict[str, Any] = orjson.loads(raw)
    for name in ("custom_id", "batch_request_id"):
        if name in line:
            line[name] = f"nobody-{number}"
    return orjson.dumps(line)


def file_of(lines: list[bytes], faults: Faults) -> bytes:
    """Join lines to a file, each with its newline, the last one in half where the fault is on."""
    data = b"".join(line + b"\n" for line in lines)
    return data[: -(len(lines[-1]) // 2 + 1)] if faults.truncated and lines else data
