"""What a job left at its providers, files above all, is removed when the user asks for it.

Only parts whose answers are all here: what a provider holds of any other is still needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchframe.model import Ticket
from batchframe.orchestration.plan import is_native
from batchframe.orchestration.steps import PartState
from batchframe.providers.base import BatchProvider
from batchframe.providers.registry import model_ref, provider


def clean_up(job: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> int:
    """Remove the files of decoded parts at their providers; may be done again.

    Args:
        job: The ledger's row.
        parts: Those of its parts.

    Returns:
        How many parts were cleaned up after.

    Raises:
        ProviderError: A provider did not let it happen.
    """
    cleaned = 0
    for part in parts:
        ref = model_ref(part["model"])
        ticket = part["ticket"] or {}
        if part["state"] != PartState.DECODED or not ticket or not is_native(ref, job["mode"]):
            continue
        found = provider(ref.provider)
        assert isinstance(found, BatchProvider)  # which is what native means
        found.cleanup(Ticket(ref.provider, ticket))
        cleaned += 1
    return cleaned
