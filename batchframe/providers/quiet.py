"""The log lines of the HTTP library, without addresses' queries and without credentials.

It logs each request's address at INFO, where a signed address is as good as a key, and headers at DEBUG.
"""

from __future__ import annotations

import logging
import re

from batchframe.redact import MASK, redact

LOGGERS = (
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)
"""Those that httpx2 2.16 and its httpcore2 write to; a filter holds for its own logger only."""

_QUERY = re.compile(r"(https?://[^\s\"'?]*\?)[^\s\"'\])]+")
_SENT = re.compile(r"(b'(?:authorization|api-key|x-[\w-]*key)', b')[^']*'", re.IGNORECASE)


class Quiet(logging.Filter):
    """Lets every line through, cleaned."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take out of a line what must not be read in it."""
        told = _QUERY.sub(rf"\1{MASK}", record.getMessage())
        record.msg, record.args = redact(_SENT.sub(rf"\1{MASK}'", told)), ()
        return True


_QUIET = Quiet()


def hush() -> None:
    """See that the library's loggers have the filter, once each."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_QUIET)  # the very same filter is not added twice
