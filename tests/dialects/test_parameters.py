"""Which parameters pass, and what is said of those that would fail at the provider."""

from __future__ import annotations

import pytest

from batchframe.dialects.parameters import check_parameters
from batchframe.errors import UnknownNameError, UnsupportedError
from batchframe.model import Endpoint

OURS = frozenset({"prompt", "model", "key"})


def check(endpoint=Endpoint.CHAT, **parameters):
    """Check parameters with our own argument names in mind."""
    check_parameters(parameters, endpoint, known_elsewhere=OURS)


def test_what_the_reference_documents_passes():
    """At both ends of its range, and as a per-row value."""
    check(temperature=0, top_p=1, n=1, stop=["a"], logit_bias={}, max_tokens=1)
    check(temperature=2, frequency_penalty=-2.0, max_completion_tokens=10**9, seed=-1)
    check(temperature=None, top_p=None)
    check(Endpoint.EMBEDDINGS, dimensions=1, user="x", encoding_format="base64")


@pytest.mark.parametrize(
    ("endpoint", "parameters", "kind", "message"),
    [
        (
            Endpoint.CHAT,
            {"temprature": 1},
            UnknownNameError,
            (
                "No parameter 'temprature' for /v1/chat/completions. Did you mean 'temperature'? "
                "A parameter only your server knows goes into extra_body={'temprature': ...}."
            ),
        ),
        (
            Endpoint.CHAT,
            {"promt": "x"},
            UnknownNameError,
            (
                "No parameter 'promt' for /v1/chat/completions. Did you mean 'prompt'? "
                "A parameter only your server knows goes into extra_body={'promt': ...}."
            ),
        ),
        (
            Endpoint.EMBEDDINGS,
            {"temperature": 1},
            UnknownNameError,
            (
                "No parameter 'temperature' for /v1/embeddings. "
                "A parameter only your server knows goes into extra_body={'temperature': ...}."
            ),
        ),
        (
            Endpoint.CHAT,
            {"stream": True},
            UnsupportedError,
            "The parameter 'stream' was refused: a batch has no one to stream to; leave it out.",
        ),
        (
            Endpoint.CHAT,
            {"functions": []},
            UnsupportedError,
            "The parameter 'functions' was refused: it is OpenAI's old name; use tools=[...].",
        ),
        (
            Endpoint.CHAT,
            {"temperature": 2.1},
            UnsupportedError,
            "The parameter temperature=2.1 was refused: it must be a number from 0 to 2.",
        ),
        (
            Endpoint.CHAT,
            {"max_tokens": 0},
            UnsupportedError,
            "The parameter max_tokens=0 was refused: it must be a whole number, at least 1.",
        ),
        (
            Endpoint.CHAT,
            {"top_p": "high"},
            UnsupportedError,
            "The parameter top_p='high' was refused: it must be a number from 0 to 1.",
        ),
        (
            Endpoint.CHAT,
            {"n": True},
            UnsupportedError,
            "The parameter n=True was refused: it must be 1.",
        ),
        (
            Endpoint.CHAT,
            {"temperature": float("nan")},
            UnsupportedError,
            "The parameter temperature=nan was refused: it must be a number from 0 to 2.",
        ),
    ],
    ids=str,
)
def test_what_would_fail_at_the_provider_is_refused_here(endpoint, parameters, kind, message):
    """With the nearest name or the range."""
    with pytest.raises(kind) as raised:
        check(endpoint, **parameters)
    assert str(raised.value) == message
