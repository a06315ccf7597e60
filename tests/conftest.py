"""What every test stands on: a workspace of its own, and no network beyond loopback."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

_GUARD = str(Path(__file__).with_name("guard"))
_LOOPBACK = "localhost,127.0.0.1,::1"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

sys.path.insert(0, _GUARD)
import loopback  # noqa: E402 - it lies in the folder that children get, too

# bound and never listening: nobody else can take the port, and every connection to it is refused
_REFUSING = socket.socket()
_REFUSING.bind(("127.0.0.1", 0))


def pytest_configure() -> None:
    """Hold what is not Python, and every child process, to loopback."""
    nowhere = f"http://127.0.0.1:{_REFUSING.getsockname()[1]}"
    for name in _PROXIES:
        os.environ[name] = os.environ[name.lower()] = nowhere
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = _LOOPBACK
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [_GUARD, *(path for path in known if path and path != _GUARD)]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def pytest_unconfigure() -> None:
    """Let go of the port."""
    _REFUSING.close()


@pytest.fixture(autouse=True)
def reached():
    """Fail the test that reaches beyond this machine; gives what was refused so far."""
    loopback.ATTEMPTS.clear()
    yield loopback.ATTEMPTS
    assert not loopback.ATTEMPTS, f"a test tried to reach beyond loopback: {loopback.ATTEMPTS}"


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    """Give each test a workspace of its own, whatever the user's environment says."""
    from batchframe.ledger import workspace

    monkeypatch.setattr(workspace, "_STACK", [])  # a test that chose one leaves no trace
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "workspace"))
