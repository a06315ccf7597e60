"""The reference holds every public name, and nothing that is not there."""

from __future__ import annotations

import importlib
import inspect
import re

import docpages
import pytest

import batchframe as bf
from batchframe import errors, testing

REFERENCE = docpages.DOCS / "reference"
_DIRECTIVE = re.compile(r"^::: ([\w.]+)\n((?:    .*\n?)*)", re.MULTILINE)


def _documented() -> dict[str, object]:
    """Resolve every mkdocstrings directive: dotted path -> object, chosen members included."""
    found: dict[str, object] = {}
    for page in REFERENCE.glob("*.md"):
        for path, options in _DIRECTIVE.findall(page.read_text("utf-8")):
            thing = _resolve(path)
            found[path] = thing
            members = re.search(r"members: \[(.*)\]", options)
            if members:
                found |= {f"{path}.{m}": getattr(thing, m) for m in members[1].split(", ")}
            elif inspect.ismodule(thing):
                found |= {f"{path}.{m}": value for m, value in _own(thing).items()}
    return found


def _resolve(path: str) -> object:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def _own(module) -> dict[str, object]:
    return {
        n: v for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    }


def _is_in(thing: object, documented: dict[str, object]) -> bool:
    return any(thing is one for one in documented.values())


@pytest.mark.parametrize("name", bf.__all__)
def test_every_public_name_is_on_a_reference_page(name):
    """What can be imported can be looked up."""
    assert _is_in(getattr(bf, name), _documented())


@pytest.mark.parametrize("name", testing.__all__)
def test_every_test_double_is_on_a_reference_page(name):
    """They are a product, too."""
    assert _is_in(getattr(testing, name), _documented())


def test_every_scorer_is_on_a_reference_page():
    """A new scorer shows up here."""
    public = {n for n, v in _own(bf.scorers).items() if inspect.isfunction(v) and n[0] != "_"}
    listed = {
        p.rpartition(".")[2] for p in _documented() if p.startswith("batchframe.evals.scorers.")
    }
    assert listed == public
    page = (docpages.DOCS / "how-to" / "compare.md").read_text("utf-8")
    shown = [cell.partition("(")[0] for cell in docpages.first_cells(page, "Scorers")]
    assert set(shown) == public


def test_what_the_pages_show_from_the_package_is_there():
    """The other way round: a directive for something that is gone fails here, not only in mkdocs."""
    documented = _documented()
    assert len(documented) > 40
    assert all(thing is not None for thing in documented.values())


def test_names_written_as_bf_something_exist():
    """`bf.name` in prose or code is a public name."""
    known = {*bf.__all__, "errors", "__version__"}
    wrong = [
        (docpages.name(page), found)
        for page in docpages.pages()
        for found in re.findall(r"\bbf\.([A-Za-z_]+)", page.read_text("utf-8"))
        if found not in known
    ]
    assert wrong == []


def test_methods_written_as_job_something_exist():
    """`job.name` is something a job has."""
    from batchframe.orchestration.job import Job

    wrong = [
        (docpages.name(page), found)
        for page in docpages.pages()
        for found in re.findall(r"\bjob\.([a-z_]+)\b", page.read_text("utf-8"))
        if not hasattr(Job, found) and found != "md"
    ]
    assert wrong == []


def test_every_error_class_is_in_troubleshooting_with_something_to_do():
    """The page and the tree name the same classes, in whatever order."""
    text = (docpages.DOCS / "troubleshooting.md").read_text("utf-8")
    shown: list[str] = []
    for heading in (
        "Your call or your frame", "This machine", "The workspace", "The job", "The other side",
    ):  # fmt: skip
        table = docpages.rows(text, heading)
        assert all(len(row) == 3 and row[2] for row in table), heading
        shown += docpages.first_cells(text, heading)
    tree = {n for n, v in _own(errors).items() if inspect.isclass(v)} - {"BatchframeError"}
    assert sorted(shown) == sorted(tree)
