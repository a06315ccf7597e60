"""What every test stands on: a workspace of its own, and no network beyond loopback."""

from __future__ import annotations

import socket

import pytest

_CONNECT = socket.socket.connect
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def _loopback_only(self, address):
    if isinstance(address, tuple) and not str(address[0]).startswith(_LOCAL):
        msg = f"a test tried to reach {address}"
        raise AssertionError(msg)
    return _CONNECT(self, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Fail the test that reaches beyond this machine."""
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    """Give each test a workspace of its own, whatever the user's environment says."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "workspace"))
