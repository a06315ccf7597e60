"""The same requests, sent now: paced, retried and journaled."""

from __future__ import annotations
