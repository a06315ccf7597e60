"""Pure bodies: what a request and an answer look like on the wire, as functions of JSON; no I/O."""

from __future__ import annotations
