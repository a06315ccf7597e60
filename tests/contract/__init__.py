"""A package, since other folders of tests have files of the same names."""

from __future__ import annotations
