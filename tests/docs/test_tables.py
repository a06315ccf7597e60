"""Tables of columns, codes and states say what the code's own data says."""

from __future__ import annotations

import re
from pathlib import Path

import docpages
import polars as pl

from batchframe.dialects.openai import RETRYABLE_CODES
from batchframe.frame import decode, join
from batchframe.frame.requests import SCHEMA as REQUESTS
from batchframe.immediate.outcome import CODES
from batchframe.ledger.events import JobState
from batchframe.orchestration.steps import PartState

TABLES = (docpages.DOCS / "reference" / "tables.md").read_text("utf-8")
PACKAGE = docpages.ROOT / "batchframe"


def _source(*paths: str) -> str:
    found: list[Path] = []
    for path in paths:
        where = PACKAGE / path
        found += sorted(where.glob("*.py")) if where.is_dir() else [where]
    return "\n".join(path.read_text("utf-8") for path in found)


def test_the_columns_of_a_result_are_those_that_join_adds():
    """In the same order."""
    assert docpages.first_cells(TABLES, "Columns of a result") == list(join.CHAT_COLUMNS)
    assert docpages.first_cells(TABLES, "Columns of embeddings") == list(join.EMBEDDING_COLUMNS)


def test_the_columns_of_outputs_have_the_types_of_the_code():
    """Name, type and order."""
    shown = [(row[0].strip("`"), row[1]) for row in docpages.rows(TABLES, "Columns of outputs")]
    assert shown == [(name, _said(dtype)) for name, dtype in decode.SCHEMA.items()]


def _said(dtype) -> str:
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.List):
        return f"List({_said(dtype.inner)})"
    return str(dtype)


def test_the_columns_of_requests_are_those_of_the_code():
    """The how-to page shows the frame that `requests` gives."""
    page = (docpages.DOCS / "how-to" / "requests-and-preview.md").read_text("utf-8")
    shown = [(r[0].strip("`"), r[1]) for r in docpages.rows(page, "The requests as a frame")]
    assert shown == [(name, str(dtype)) for name, dtype in REQUESTS.items()]


def test_the_states_are_those_of_the_code():
    """Of jobs, on both pages that list them, and of parts."""
    submit = (docpages.DOCS / "how-to" / "submit-and-monitor.md").read_text("utf-8")
    states = [state.value for state in JobState]
    assert docpages.first_cells(TABLES, "States of a job") == states
    assert docpages.first_cells(submit, "States of a job") == states
    assert docpages.first_cells(TABLES, "States of a part") == [state.value for state in PartState]


def _codes() -> dict[str, bool]:
    """Find every error code that the package itself gives, and whether a retry helps."""
    frame = _source("frame")
    found = {
        *re.findall(r'"([a-z]+_[a-z_]+|missing): ', frame),
        *re.findall(r'error_code=pl\.lit\("(\w+)"\)', frame),
        *re.findall(r'^CODE = "(\w+)"', frame, re.MULTILINE),
        *re.findall(r'"code": "(\w+)"', _source("immediate/outcome.py")),
        *CODES.values(),
    }
    codes = {code: code in RETRYABLE_CODES for code in found}
    built = re.compile(r'RowError\(\s*"(\w+)",(.*?)\)(?=\s*(?:\n|$|if))', re.DOTALL)
    for code, rest in built.findall(_source("frame", "dialects", "orchestration")):
        codes[code] = "retryable=True" in rest or code in RETRYABLE_CODES
    return codes


def test_the_error_codes_are_those_the_code_gives():
    """A new code shows up here, with whether a retry helps."""
    table = docpages.rows(TABLES, "Error codes of a row")
    shown = {row[0].strip("`"): row[1] for row in table}
    assert shown == {code: "yes" if again else "no" for code, again in _codes().items()}


def test_the_words_of_the_architecture_are_in_the_glossary():
    """Each word has a line, and no line is empty."""
    text = (docpages.DOCS / "glossary.md").read_text("utf-8")
    table = docpages.rows(text, "Glossary")
    words = {row[0] for row in table}
    assert all(len(row) == 2 and row[1] for row in table)
    assert {
        "row", "request", "custom_id", "part", "batch", "job", "ticket", "plan", "ledger",
        "journal", "workspace", "dialect", "provider", "catalog", "route", "judge", "scorer",
    } <= words  # fmt: skip
