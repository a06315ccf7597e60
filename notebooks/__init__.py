"""Notebooks that show batchframe at work, and the two commands that run them."""

from __future__ import annotations
