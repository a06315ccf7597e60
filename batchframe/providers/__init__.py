"""How a batch lives at each provider: one lifecycle a file, none knows another."""

from __future__ import annotations
