"""Faces of a job: a live widget, its static HTML twin and a terminal line; they only look."""

from __future__ import annotations
