"""What can go wrong in a cloud, as switches that are all off; they may be turned while it runs.

A fault "by call" is a dict from an operation to how many of its next calls it hits, and counts itself
down: `faults.server_error["create"] = 2`. Operations: upload, file, files, content, delete_file, create,
get, list, cancel, delete, results, requests, dataset, datasets, sync; `"*"` stands for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Calls = dict[str, int]
"""Operation -> how many of its next calls are hit."""

Dialect = Literal["retry-after", "date", "retry-after-ms", "reset", "none"]
"""How a 429 says when to come back: seconds, an HTTP date, milliseconds, reset headers, or not at all."""

Wrong = Literal["page", "error", "nothing", "half", "packed"]
"""What comes in place of an answer: an HTML page, an error as JSON, no byte, its first half, or itself as gzip."""


@dataclass
class Faults:
    """All faults of one cloud.

    Args:
        server_error: By call: answered with `server_status` and an error body.
        server_status: 500, 502, 503, 504, 408 or whatever else.
        rate_limit: By call: answered with 429, whose headers are `rate_limit_dialect`'s and ask for
            `rate_limit_seconds` of patience.
        quota_gone: By call: the money is gone, in the provider's own words; no waiting heals it.
        unauthorized: By call: 401 (xAI: 400), though the key is right.
        forbidden: By call: 403, the key lacks a permission.
        html: By call: an HTML page of Cloudflare with `html_status` (403 or 520).
        not_found: By call: 404, there is no such thing, though there is.
        instead: By call: `wrong` comes in place of the answer, under the same HTTP 200.
        wrong: See `Wrong`.
        drop_before: By call: the connection is reset and nothing has happened.
        drop_after: By call: the connection is reset although the call took effect.
        cut: By call: half the body arrives, then the connection ends.
        ranges: Whether downloads honour the `Range` header; else it is ignored and all comes again.
        validating: Seconds that validation takes, for batches created from now on.
        hang: Share of the rows that are answered before a batch stops; it ends when its window closes
            or when it is cancelled. For batches created from now on.
        expire: As `hang`, and the clock leaps to the window's end at the poll that finds it so
            (with `step` at 0 it does not leap).
        queue_full_at_create: How many of the next creates are refused with `queue_full_status`.
        fail_after_create: How many of the next batches fail when their file is looked at.
        quoted: A text that each refusal quotes, be it of a call, of a row or of a batch: in its message,
            in its code, as the name of a member, and in a header. A key, say.
        queue_full_after_create: How many of the next batches fail with `token_limit_exceeded`.
        cancel_late: A cancelled batch completes all the same.
        status_word: What batch objects say in place of their status. xAI has none: there it is counters
            and times, as "num_requests=6 num_pending=2", and any other word stands beside no counters.
        missing_fields: Names that batch objects lack; "*" leaves only their id.
        late_files: For so many looks a batch object that has ended lacks its result files.
        stale_list: Seconds for which lists do not show a new batch.
        oldest_first: Lists of batches come in the order in which they were made.
        short_pages: The most that a page of a list or of results holds, whatever was asked for; 0: as
            the provider has it.
        file_quota: Uploads are refused as one too many (Azure's words).
        shuffle: Result lines in another order.
        missing: How many result lines are left out.
        duplicated: How many result lines come twice.
        truncated: The last result line is cut in half; on a page, which is whole or nothing, the last
            result has its id and no more.
        garbage: How many lines are no results at all.
        unknown_ids: How many lines more there are, whose `custom_id` nobody sent.
        status_zero: How many answered rows have no body: `status_code` 0, or an empty response.
    """

    server_error: Calls = field(default_factory=dict)
    server_status: int = 500
    rate_limit: Calls = field(default_factory=dict)
    rate_limit_dialect: Dialect = "retry-after"
    rate_limit_seconds: float = 1.0
    quota_gone: Calls = field(default_factory=dict)
    unauthorized: Calls = field(default_factory=dict)
    forbidden: Calls = field(default_factory=dict)
    html: Calls = field(default_factory=dict)
    html_status: int = 520
    not_found: Calls = field(default_factory=dict)
    instead: Calls = field(default_factory=dict)
    wrong: Wrong = "page"
    drop_before: Calls = field(default_factory=dict)
    drop_after: Calls = field(default_factory=dict)
    cut: Calls = field(default_factory=dict)
    ranges: bool = True
    validating: float | None = None
    hang: float | None = None
    expire: float | None = None
    queue_full_at_create: int = 0
    queue_full_status: int = 429
    fail_after_create: int = 0
    quoted: str = ""
    queue_full_after_create: int = 0
    cancel_late: bool = False
    status_word: str | None = None
    missing_fields: tuple[str, ...] = ()
    late_files: int = 0
    stale_list: float = 0.0
    oldest_first: bool = False
    short_pages: int = 0
    file_quota: bool = False
    shuffle: bool = False
    missing: int = 0
    duplicated: int = 0
    truncated: bool = False
    garbage: int = 0
    unknown_ids: int = 0
    status_zero: int = 0

    def strikes(self, fault: str, operation: str) -> bool:
        """Find out whether a fault "by call" hits this call, and count it down when it does."""
        calls: Calls = getattr(self, fault)
        for name in (operation, "*"):
            if calls.get(name, 0) > 0:
                calls[name] -= 1
                return True
        return False

    def count(self, fault: str) -> bool:
        """Find out whether a counted fault hits now, and count it down when it does."""
        left: int = getattr(self, fault)
        if left > 0:
            setattr(self, fault, left - 1)
        return left > 0
