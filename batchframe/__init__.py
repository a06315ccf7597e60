"""Batch LLM inference on Polars frames: create, monitor, fetch."""

from __future__ import annotations

__version__ = "0.1.0"
