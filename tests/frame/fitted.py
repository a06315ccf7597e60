"""Result lines as OpenAI writes them, decoded in every way that there is."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batchframe.dialects import openai
from batchframe.frame import cutting
from batchframe.frame.decode import Decoding, decode_part
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA as REQUESTS
from batchframe.model import Limits, ModelRef, RowError
from batchframe.pricing.cost import cost_columns, row_cost
from batchframe.pricing.rates import rates_for

RATES = rates_for(ModelRef("openai", "gpt-5-mini"), batch=True)
PRICED = Decoding(
    0,
    openai.DIALECT,
    lambda reply: row_cost(reply.usage, RATES).total,
    RATES.source,
    RowError("missing", "no line", retryable=True),
    lambda rows: cost_columns(rows.with_columns(model=pl.lit("")), {"": RATES})["cost"],
)


def chat(custom_id="r0", text="fine", **changes):
    """Give the parsed line of an answer as OpenAI writes it."""
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1711475054,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": None,
        **changes,
    }
    response = {"status_code": 200, "request_id": "q-1", "body": body}
    return {"id": "b-1", "custom_id": custom_id, "response": response, "error": None}


def embedding(custom_id="r0", vector=(0.5, 1, -2.25)):
    """Give the parsed line of a vector."""
    one = {"object": "embedding", "index": 0, "embedding": list(vector)}
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    line = chat(custom_id)
    line["response"]["body"] = {"object": "list", "data": [one], "model": "e", "usage": usage}
    return line


def requests(folder, count):
    """Write the requests of a part."""
    rows = [(i, f"r{i}", "m/x", '{"messages":[]}', None) for i in range(count)]
    writer = PartWriter(folder, {"m/x": Limits(10**6, 10**9, "", "")})
    writer.write_all([pl.DataFrame(rows, schema=REQUESTS, orient="row")])
    return folder / part_file(0)


def outcomes(folder, raw, count, how=PRICED, *, typical=True, fewest=10**9):
    """Decode a file by one of the ways: cut, read by the types, or by the dialect alone."""
    (folder / "results.jsonl").write_bytes(raw)
    out = folder / "out.parquet"
    how = replace(how, dialect=replace(openai.DIALECT, typical=typical))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "FEWEST", fewest)
        odd = decode_part(requests(folder, count), [folder / "results.jsonl"], out, how)
    return pl.read_parquet(out).sort("row"), odd


def numbers(text):
    """Read JSON as readers do to whom whole numbers of more than 64 bits are floats."""
    return json.loads(text, parse_int=lambda word: int(word) if len(word) < 19 else float(word))


def same(folder, raw, count, how=PRICED):
    """See that all ways give the same; gives it."""
    fast, odd = outcomes(folder, raw, count, how)
    cut, odd_cut = outcomes(folder, raw, count, how, fewest=1)
    assert odd == odd_cut
    assert_frame_equal(fast, cut, check_exact=True)
    slow, odd_slow = outcomes(folder, raw, count, how, typical=False)
    assert odd == odd_slow
    assert_frame_equal(fast.drop("body"), slow.drop("body"), check_exact=True)
    for left, right in zip(fast["body"], slow["body"], strict=True):
        assert (left is None) == (right is None)
        assert left is None or numbers(left) == numbers(right)
    return fast
