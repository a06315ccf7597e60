"""The public surface: small, sorted, documented, and free to import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import polars as pl
import pytest

import batchframe as bf
from batchframe import api
from batchframe.accessor import Batch


def test_all_names_are_sorted_and_importable():
    """What `__all__` promises is there."""
    names = [name for name in bf.__all__ if name not in ("errors", "scorers")]
    assert names == sorted(names)
    for name in bf.__all__:
        assert getattr(bf, name) is not None, name


def test_every_verb_of_the_accessor_has_its_function_twin():
    """`df.batch.submit` and `bf.submit`, and nothing on one side only."""
    verbs = {name for name, _ in inspect.getmembers(Batch, inspect.isfunction) if name[0] != "_"}
    assert verbs == {"requests", "preview", "plan", "submit", "run", "embed", "compare", "encode"}
    for verb in verbs:
        assert callable(getattr(bf, verb))
        assert getattr(api, verb).__doc__


def test_data_and_lazy_frames_have_the_accessor():
    """Importing batchframe is all it takes."""
    df = pl.DataFrame({"a": [1]})
    assert isinstance(df.batch, Batch)
    assert isinstance(df.lazy().batch, Batch)


def test_jobs_stays_a_verb_after_everything_is_imported():
    """A package of the same name would replace it."""
    import batchframe.orchestration.job  # noqa: F401 - imported for its side effect on the package

    assert callable(bf.jobs)


def test_an_unknown_attribute_is_an_attribute_error():
    """As for any module."""
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        _ = bf.sumbit


def test_importing_batchframe_loads_nothing_heavy_and_opens_no_socket():
    """Beyond what Polars itself loads."""
    code = """
import socket, sys, json
def refuse(*a, **k): raise AssertionError("a socket at import")
socket.socket.connect = refuse
import polars
before = set(sys.modules)
import batchframe
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(out.stdout)) == {"batchframe", "batchframe.accessor"}


def test_type_hints_of_the_verbs_resolve():
    """Editors and docs read them."""
    for verb in ("submit", "plan", "embed", "requests", "preview", "compare", "job", "jobs", "run"):
        assert "return" in inspect.get_annotations(getattr(api, verb))
