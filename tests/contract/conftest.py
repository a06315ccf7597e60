"""The contract's tests: its options, and assertions that show what they compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("batchframe.testing.contract")

from batchframe.testing.contract.selection import (  # noqa: E402, F401 - pytest finds them by name
    pytest_addoption,
    pytest_collection_modifyitems,
)
