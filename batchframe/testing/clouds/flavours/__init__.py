"""One file a provider: its routes, its words, its limits; what they share lies one folder up."""

from __future__ import annotations
