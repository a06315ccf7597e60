"""What tests of providers with batches of their own share: a part, its way through, and answers from nowhere."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import orjson
from hypothesis import strategies as st

from batchframe.errors import JobFailedError
from batchframe.model import Endpoint, ModelRef, Part, Phase, Ticket
from batchframe.providers import rest


def quicken(monkeypatch, prefix):
    """Make patience short and the environment empty; gives the clients made, for `close`."""
    monkeypatch.setattr(rest, "_FIRST_PAUSE", 0.001)
    for name in [name for name in os.environ if name.startswith(prefix)]:
        monkeypatch.delenv(name)
    made, make = [], rest.Rest._client

    def client(self):
        made.append(make(self))
        return made[-1]

    monkeypatch.setattr(rest.Rest, "_client", client)
    return made


def close(made):
    """End their connections: what a process leaves to its end, a test may not."""
    for client in made:
        client.close()


PATIENCE = {"results": 0.1, "gone": 0.05, "absent": 0.05}
"""What takes a provider minutes takes milliseconds here."""


def finished(job):
    """Wait for a job; one that stops since results fall short goes on with what there is."""
    with suppress(JobFailedError):
        return job.result()
    assert " counts " in job.view.message
    return job.retry().result()


OVER = (Phase.ENDED, Phase.FAILED, Phase.REFUSED)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def objects(*names):
    """Give strategies of objects with some of these names, their values anything."""
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=8)


class Nowhere:
    """A `Rest` that has one answer to everything."""

    def __init__(self, answer):
        self.answer = answer

    def call(self, *_args, **_more):
        """Answer."""
        return self.answer

    upload = call


def part(model, rows=6, key="job-a-0-0011", endpoint=Endpoint.CHAT):
    """Give a part."""
    name, _, bare = model.partition("/")
    return Part("job-a", 0, ModelRef(name, bare), endpoint, rows, key, {"team": "x"})


def wire(provider, part, folder):
    """Write the part's file in the provider's own words."""
    line = provider.dialect(part.endpoint).line
    bodies = (
        {
            "model": part.model.name,
            "messages": [{"role": "user", "content": f"row {row}"}],
            "max_tokens": 9,
        }
        for row in range(part.rows)
    )
    file = folder / "part.jsonl"
    lines = [orjson.dumps(line(f"r{n}", part.endpoint, body)) for n, body in enumerate(bodies)]
    file.write_bytes(b"".join(one + b"\n" for one in lines))
    return file


def begun(provider, part, folder, **more):
    """Upload and create; gives the ticket."""
    ticket = provider.upload(part, wire(provider, part, folder))
    return provider.create(part, Ticket(ticket.provider, {**ticket.data, **more}))


def polled(provider, ticket, most=30):
    """Poll until the batch is over; gives the last progress."""
    for _ in range(most):
        progress = provider.poll(ticket)
        if progress.phase in OVER:
            return progress
    raise AssertionError(f"after {most} polls it is still {progress}")


def replies(provider, files, endpoint=Endpoint.CHAT):
    """Read result files: id -> reply."""
    decode = provider.dialect(endpoint).decode
    lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return {reply.custom_id: reply for reply in map(decode, lines)}
