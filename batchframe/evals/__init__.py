"""Models and prompts compared on a frame: quality beside cost, with honest intervals."""

from __future__ import annotations
