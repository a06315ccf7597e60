"""Every Python block of the documentation runs, page by page, and prints what the page says it prints.

After a change that is meant, `BATCHFRAME_DOCS=accept` writes what was printed into the pages; read the
difference before you commit it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import textwrap

import docpages
import pytest
from docmodel import answer

import batchframe as bf
from batchframe.ledger import workspace as workspaces
from batchframe.orchestration import follow as following
from batchframe.providers import registry
from batchframe.testing import Echo, registered

NOT_RUN_AT_MOST = 6
"""Blocks that only a person can run stay few; raise this with a reason, not by habit."""

WIDTH = 84
"""Characters that fit beside the navigation on an ordinary screen."""

PAGES = [page for page in docpages.pages() if "```python" in page.read_text("utf-8")]


@pytest.fixture
def _as_a_reader(monkeypatch, tmp_path):
    """Stand where a reader stands: in the repository, with a home folder and a workspace."""
    monkeypatch.chdir(docpages.ROOT)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(workspaces, "_STACK", [])  # a page may choose a workspace of its own
    monkeypatch.setattr(registry, "_MADE", {**registry._MADE})  # or register a provider
    monkeypatch.setattr(registry, "_READ", {**registry._READ})
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_as_a_reader")
@pytest.mark.parametrize("page", PAGES, ids=docpages.name)
def test_the_blocks_of_a_page_run_in_order_and_print_what_it_says(page, tmp_path):
    """A page is one notebook: its blocks share their names."""
    text = page.read_text("utf-8")
    with registered(Echo(answer, name="local")) as local:
        names = {"__name__": "__main__", "local": local, "tmp_path": tmp_path}
        _cell(docpages.setup(text), names, f"{docpages.name(page)}: setup")
        printed = ""
        for block in docpages.blocks(text):
            where = f"{docpages.name(page)}:{block.line}"
            if block.language == "python" and block.mark != "not run":
                printed = _run(block, names, where, tmp_path)
            elif block.mark == "prints":
                if os.environ.get("BATCHFRAME_DOCS") == "accept":
                    _accept(page, block, _trimmed(printed) + "\n")
                    continue
                assert _trimmed(printed) == _trimmed(block.code), f"{where} is not what was printed"
        _let_jobs_end()


def _let_jobs_end():
    """A page may leave jobs running; they must not reach into the next page."""
    for follower in list(following._FOLLOWERS.values()):
        if follower.future is not None:
            follower.future.exception(timeout=60)


def _accept(page, block, printed):
    """Write what was printed into the page."""
    lines = page.read_text("utf-8").splitlines(keepends=True)
    head, rest = lines[: block.line], "".join(lines[block.line :])
    page.write_text("".join(head) + rest.replace(block.code, printed, 1), "utf-8")


def _run(block, names, where, tmp_path):
    """Run a block as a notebook cell; gives what it printed, the last value included."""
    said = io.StringIO()
    known = set(names)
    with contextlib.redirect_stdout(said):
        if block.mark == "raises":
            with pytest.raises(bf.BatchframeError) as caught:
                _cell(block.code, names, where)
            assert type(caught.value).__name__ == block.said, where
            said.write(f"{type(caught.value).__name__}: {caught.value}")
        else:
            _cell(block.code, names, where)
        for name in sorted(set(names) - known):
            if name.startswith("test_"):
                _as_pytest_would(names[name], tmp_path)
    return said.getvalue()


def _cell(code, names, where):
    tree = ast.parse(code, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    _execute(tree, "exec", names, where)
    if last is not None:
        value = _execute(ast.Expression(last.value), "eval", names, where)
        if value is not None:
            print(repr(value))


def _execute(tree, how, names, where):
    # a page has no `from __future__` of ours, and may await at the top as cells do
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    value = eval(compile(tree, where, how, flags, dont_inherit=True), names)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def _as_pytest_would(test, tmp_path):
    """Call a test that a page shows, with the one fixture that pages use."""
    wanted = inspect.signature(test).parameters
    test(**{"tmp_path": tmp_path / test.__name__} if "tmp_path" in wanted else {})


def _trimmed(text):
    return "\n".join(line.rstrip() for line in textwrap.dedent(text).strip().splitlines())


def test_blocks_that_are_not_run_are_few_and_say_why():
    """A block nobody runs is a block nobody knows to be true."""
    found = [
        (docpages.name(page), block)
        for page in docpages.pages()
        for block in docpages.blocks(page.read_text("utf-8"))
        if block.mark == "not run"
    ]
    without = [(page, block.line) for page, block in found if not (block.said or "").strip()]
    assert without == []
    assert len(found) <= NOT_RUN_AT_MOST, [(page, block.line, block.said) for page, block in found]


def test_every_block_names_its_language_and_every_mark_stands_before_a_block():
    """A mark with a slip in it would silently do nothing."""
    for page in docpages.pages():
        text = page.read_text("utf-8")
        found = docpages.blocks(text)
        assert [b.line for b in found if not b.language] == [], page
        marks = sum(text.count(f"<!-- {mark}") for mark in ("not run", "raises", "prints"))
        assert marks == sum(b.mark is not None for b in found), page
        wrong = [
            b.line for b in found
            if (b.mark in ("not run", "raises") and b.language != "python")
            or (b.mark == "prints" and b.language != "text")
        ]  # fmt: skip
        assert wrong == [], page


def test_code_and_frames_fit_the_page():
    """Longer lines scroll, and a frame whose lines break is no table any more."""
    wide = [
        f"{docpages.name(page)}:{block.line + number}"
        for page in docpages.pages()
        for block in docpages.blocks(page.read_text("utf-8"))
        for number, line in enumerate(block.code.splitlines(), 1)
        if (block.language == "python" or line.startswith(("│", "┌"))) and len(line) > WIDTH
    ]
    assert wide == []
