"""Fixtures of the faces' tests."""

from __future__ import annotations

from lab import jupyterlab

__all__ = ["jupyterlab"]
