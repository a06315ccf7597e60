"""What rows cost: dated prices, exact sums, estimates with their range."""

from __future__ import annotations
