"""Fixtures of the faces' tests."""

from __future__ import annotations

from lab import jupyterlab, lab_server

__all__ = ["jupyterlab", "lab_server"]
