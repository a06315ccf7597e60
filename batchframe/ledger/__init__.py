"""What is remembered: jobs and parts in SQL, answers in append-only files, and the stream of events."""

from __future__ import annotations
