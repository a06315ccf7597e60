"""The immediate room's fixtures; what tests import by name is in `benching` and `scripted`."""

from __future__ import annotations

from pathlib import Path

import pytest
from benching import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty folder to run in."""
    return Bench(tmp_path)


@pytest.fixture
def refused() -> str:
    """An address where nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
