"""Fake batch servers on loopback that a client cannot tell from the real ones, with faults and a clock.

    from batchframe.testing import clouds

    with clouds.openai() as cloud:
        cloud.answer = lambda body: "positive"
        cloud.faults.rate_limit["create"] = 2
        client = openai.OpenAI(base_url=cloud.url, api_key=cloud.key)

Each look at a batch lets 30 simulated seconds pass (`cloud.step`), so that it ends after three of them;
`cloud.clock.advance(86_400)` is a day. `python -m batchframe.testing.clouds openai` serves one by itself.
"""

from __future__ import annotations

from typing import Literal

from batchframe.testing.clouds.clock import Clock
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.faults import Faults
from batchframe.testing.clouds.flavours import azure as _azure
from batchframe.testing.clouds.flavours import fireworks as _fireworks
from batchframe.testing.clouds.flavours import groq as _groq
from batchframe.testing.clouds.flavours import mistral as _mistral
from batchframe.testing.clouds.flavours import openai as _openai
from batchframe.testing.clouds.flavours import together as _together
from batchframe.testing.clouds.flavours import xai as _xai

__all__ = [
    "Clock",
    "Cloud",
    "Faults",
    "azure",
    "fireworks",
    "groq",
    "mistral",
    "openai",
    "together",
    "xai",
]


def openai() -> Cloud:
    """Give OpenAI; `cloud.url` is what `OPENAI_BASE_URL` would be."""
    return Cloud(_openai.FLAVOUR)


def azure(surface: Literal["v1", "legacy"] = "v1") -> Cloud:
    """Give Azure OpenAI; `cloud.url` is what `AZURE_OPENAI_ENDPOINT` would be.

    Args:
        surface: "v1" (`/openai/v1/...`) or "legacy" (`/openai/...?api-version=`).
    """
    return Cloud(_azure.SURFACES[surface])


def groq() -> Cloud:
    """Give Groq; `cloud.url` ends in `/openai/v1` (Groq's own SDK wants `cloud.root`)."""
    return Cloud(_groq.FLAVOUR)


def mistral() -> Cloud:
    """Give Mistral; `cloud.url` is the root, which Mistral's SDK calls its server URL."""
    return Cloud(_mistral.FLAVOUR)


def together() -> Cloud:
    """Give Together; `cloud.url` ends in `/v1` (Together's own SDK wants `cloud.root`)."""
    return Cloud(_together.FLAVOUR)


def fireworks() -> Cloud:
    """Give Fireworks; `cloud.url` is the root, and the account is in `cloud.environment()`."""
    return Cloud(_fireworks.FLAVOUR)


def xai() -> Cloud:
    """Give xAI; `cloud.url` ends in `/v1`."""
    return Cloud(_xai.FLAVOUR)
