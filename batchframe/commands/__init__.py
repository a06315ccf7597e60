"""What stands behind the command line: its words, its printing, its waiting."""

from __future__ import annotations
