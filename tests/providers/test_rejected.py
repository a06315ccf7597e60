"""One bad line fails a whole batch: the row that it was is named, and only the others are worth a retry."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import batchframe as bf
from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.model import Endpoint
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"t": ["a", "b", "c", "d"]})


@pytest.mark.parametrize("cloud", [clouds.openai, clouds.groq, lambda: clouds.azure("v1")])
def test_the_row_at_fault_is_named_and_the_others_go_again(cloud):
    """A second batch without it is answered; the bad row is not paid for twice, nor lost."""

    def line(custom_id, endpoint, body):
        if custom_id == "r2":
            body = {name: value for name, value in body.items() if name != "messages"}
        return {**real.line(custom_id, endpoint, body)}

    with cloud() as there:
        there.answer = lambda _: "yes"
        made = {
            "openai": lambda: bf.OpenAI(api_key=there.key, base_url=there.url, poll_seconds=0.01),
            "groq": lambda: bf.Groq(api_key=there.key, base_url=there.url, poll_seconds=0.01),
            "azure": lambda: bf.Azure(api_key=there.key, endpoint=there.url, poll_seconds=0.01),
        }[there.flavour.name]()
        real = made.dialect(Endpoint.CHAT)
        odd = Dialect("odd", line, openai.decode)
        made.surface = replace(made.surface, dialects={Endpoint.CHAT: odd})
        with registered(made):
            job = DF.batch.submit(model=f"{made.name}/m", prompt="{t}").wait()
            codes = job.outputs()["error_code"].to_list()
            assert codes == [
                "batch_failed",
                "batch_failed",
                "missing_required_parameter",
                "batch_failed",
            ]
            assert job.outputs()["retryable"].to_list() == [True, True, False, True]
            out = job.retry().result()
            assert out["response"].to_list() == ["yes", "yes", None, "yes"]
            assert len(there.batches()) == 2
            assert job.retry().view.state.ended
            assert len(there.batches()) == 2
