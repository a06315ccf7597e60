"""Batch LLM inference on Polars frames: create, monitor, fetch.

Importing this module registers `df.batch` and loads Polars, nothing heavier; everything else arrives
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from batchframe import accessor as _accessor  # noqa: F401 - registers df.batch

if TYPE_CHECKING:
    from batchframe import errors as errors
    from batchframe.api import compare as compare
    from batchframe.api import decode as decode
    from batchframe.api import embed as embed
    from batchframe.api import encode as encode
    from batchframe.api import job as job
    from batchframe.api import jobs as jobs
    from batchframe.api import plan as plan
    from batchframe.api import preview as preview
    from batchframe.api import requests as requests
    from batchframe.api import run as run
    from batchframe.api import submit as submit
    from batchframe.errors import BatchframeError as BatchframeError
    from batchframe.evals import scorers as scorers
    from batchframe.evals.compare import Comparison as Comparison
    from batchframe.immediate.retry import Retry as Retry
    from batchframe.ledger.workspace import Workspace as Workspace
    from batchframe.ledger.workspace import workspace as workspace
    from batchframe.model import Patience as Patience
    from batchframe.orchestration.job import Job as Job
    from batchframe.orchestration.plan import Plan as Plan
    from batchframe.providers.azure import Azure as Azure
    from batchframe.providers.compatible import OpenAICompatible as OpenAICompatible
    from batchframe.providers.fireworks import Fireworks as Fireworks
    from batchframe.providers.groq import Groq as Groq
    from batchframe.providers.mistral import Mistral as Mistral
    from batchframe.providers.openai import OpenAI as OpenAI
    from batchframe.providers.registry import register as register
    from batchframe.providers.together import Together as Together
    from batchframe.providers.xai import XAI as XAI

__version__ = "0.1.0"

_WHERE = {
    "Azure": "batchframe.providers.azure",
    "BatchframeError": "batchframe.errors",
    "Comparison": "batchframe.evals.compare",
    "Fireworks": "batchframe.providers.fireworks",
    "Groq": "batchframe.providers.groq",
    "Job": "batchframe.orchestration.job",
    "Mistral": "batchframe.providers.mistral",
    "OpenAI": "batchframe.providers.openai",
    "OpenAICompatible": "batchframe.providers.compatible",
    "Patience": "batchframe.model",
    "Plan": "batchframe.orchestration.plan",
    "Retry": "batchframe.immediate.retry",
    "Together": "batchframe.providers.together",
    "Workspace": "batchframe.ledger.workspace",
    "XAI": "batchframe.providers.xai",
    "compare": "batchframe.api",
    "decode": "batchframe.api",
    "embed": "batchframe.api",
    "encode": "batchframe.api",
    "job": "batchframe.api",
    "jobs": "batchframe.api",
    "plan": "batchframe.api",
    "preview": "batchframe.api",
    "register": "batchframe.providers.registry",
    "requests": "batchframe.api",
    "run": "batchframe.api",
    "submit": "batchframe.api",
    "workspace": "batchframe.ledger.workspace",
}
"""Public name -> module."""

_MODULES = {"errors": "batchframe.errors", "scorers": "batchframe.evals.scorers"}

__all__ = [*sorted(_WHERE), "errors", "scorers"]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _WHERE:
        raise AttributeError(f"module 'batchframe' has no attribute {name!r}")
    found = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
