"""Promise 6: a key that a connection carries is in no file, log, message or picture of batchframe."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.immediate.retry import Retry
from batchframe.testing import Echo, registered

KEY = "Zq7HexKeyOfNoKnownPattern0123456789abcdef"
PROMPT = "the-private-prompt-of-a-user"


class Keyed(Echo):
    """A provider whose requests carry a key."""

    @contextlib.contextmanager
    def connect(self, model, endpoint):
        """Add the key to the server's connection."""
        with super().connect(model, endpoint) as connection:
            yield replace(connection, headers={"authorization": f"Bearer {KEY}"})


def refuse(_body):
    """Say what OpenAI says to a wrong key."""
    message = f"Incorrect API key provided: {KEY}"
    return {"error": {"message": message, "code": "invalid_api_key", "type": "auth"}}


def refuse_row(_body):
    """Refuse one row, and quote the key wherever there is a place for it."""
    return {
        "error": {"message": f"not with {KEY}", "code": f"bad-{KEY}", "type": KEY},
        KEY: {"sent": [KEY, {"x-api-key": KEY}]},
        "status_code": 400,
    }


def answer_nothing(_body):
    """Give a success that answers nothing and says why."""
    return {"choices": [], "detail": f"sent with {KEY}", "id": KEY}


def fail(_body):
    """Fail like a server that is down."""
    msg = f"down for {KEY}"
    raise RuntimeError(msg)


@pytest.mark.parametrize(
    "answer",
    [refuse, refuse_row, answer_nothing, fail, lambda _: "fine"],
    ids=["refused", "a row refused", "nothing answered", "down", "fine"],
)
def test_the_key_shows_nowhere_whatever_the_server_says(tmp_path, caplog, capfd, answer):
    """Success, refusal and breakdown: workspace files, logs, exceptions, reprs, stderr."""
    caplog.set_level(logging.DEBUG)
    shown = []
    with registered(Keyed(answer=answer)):
        df = pl.DataFrame({"text": [PROMPT]})
        job = df.batch.submit(model="echo/m", prompt="{text}", retry=Retry(attempts=1))
        try:
            shown.append(str(job.result()["error"].to_list()))
            shown += [str(job.outputs().to_dicts()), str(job.errors().to_dicts()), repr(job.view)]
        except errors.BatchframeError as error:
            shown += [str(error), repr(error), str(error.__cause__), repr(error.__cause__)]
        shown += [repr(job), str(job._repr_mimebundle_()), str(bf.jobs().rows())]
    captured = capfd.readouterr()
    shown += [caplog.text, captured.out, captured.err]
    assert not any(KEY in text for text in shown)
    files = [path for path in bf.workspace().path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    # prompts are kept in the workspace's files, and are in no log
    assert PROMPT not in caplog.text
    assert PROMPT not in captured.err
