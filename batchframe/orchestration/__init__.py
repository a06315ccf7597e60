"""A job from plan to result: the state table and whoever drives it."""

from __future__ import annotations
