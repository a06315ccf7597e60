"""A child process of a test is held to loopback, too: Python imports this file at its start."""

from __future__ import annotations

import loopback  # noqa: F401 - importing it is what it is for
