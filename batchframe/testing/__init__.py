"""Test doubles for batchframe and for its users: providers with faults, in a folder or on loopback."""

from __future__ import annotations

from batchframe.providers.registry import registered
from batchframe.testing.fake import Fake, completion, echo
from batchframe.testing.server import Echo

__all__ = ["Echo", "Fake", "completion", "echo", "registered"]
