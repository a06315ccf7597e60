"""Polars in, Polars out: requests from a frame, answers back onto it."""

from __future__ import annotations
