"""What the tests of the road from frame to requests share."""

from __future__ import annotations

import json

import polars as pl

from batchframe.frame.prompt import chat_shape
from batchframe.frame.requests import SCHEMA, Recipe, chunks


def ask(frame, prompt=None, *, system=None, messages=None, model="m/x", key=None, **parameters):
    """Give the requests of a call as one frame."""
    shape = chat_shape(
        frame.collect_schema(),
        prompt=prompt,
        system=system,
        messages=messages,
        parameters=parameters,
    )
    return pl.concat([pl.DataFrame(schema=SCHEMA), *chunks(frame, Recipe(shape, model, key))])


def bodies(frame, *args, **kwargs):
    """Give the bodies of a call as dictionaries; None for a row that is not sent."""
    return [None if b is None else json.loads(b) for b in ask(frame, *args, **kwargs)["body"]]


def asked(frame, *args, **kwargs):
    """Give the text of the last message of each row; None for a row that is not sent."""
    found = bodies(frame, *args, **kwargs)
    return [None if b is None else b["messages"][-1]["content"] for b in found]
