"""Benchmarks: each prints one JSON line with its figures and a ratio against a reference of the same run."""

from __future__ import annotations
