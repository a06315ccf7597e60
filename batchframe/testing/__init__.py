"""Test doubles for batchframe and for its users: providers with faults, and a clock."""

from __future__ import annotations
