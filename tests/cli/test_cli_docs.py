"""The examples of docs/how-to/command-line.md do what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from batchframe.cli import main
from batchframe.testing import Echo, registered

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md"
ID = re.compile(r"job-[a-z2-7]{10}\b")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)


def examples():
    """Give (command, expected output) in the page's order."""
    for block in blocks("console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = example.partition("\n")
            yield command, expected


def comparable(text):
    """Leave out what differs from run to run, and the lines that a terminal draws over."""
    kept = [line for line in text.splitlines() if not re.search(r" · (queued|running)  ", line)]
    text = "\n".join(kept)
    for pattern, same in (
        (r"took \d+:\d\d", "took"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "then"),
        (r"in /\S+/workspace", "in workspace"),
    ):
        text = re.sub(pattern, same, text)
    return text


def label(body):
    """Answer as the page shows it."""
    return '{"label": "positive", "stars": 4}' if "response_format" in body else "Une phrase ici."


def test_the_page_shows_what_the_commands_print(tmp_path, monkeypatch):
    """Every console example is run in order, in one folder, against a model of our own."""
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text(blocks("csv")[0], "utf-8")
    Path("label.json").write_text(blocks("json")[0], "utf-8")
    ids = {}
    ran = 0
    with registered(Echo(label, name="local")):
        for command, expected in examples():
            for shown, real in ids.items():
                command = command.replace(shown, real)  # noqa: PLW2901 - the command is cut in place
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                main(shlex.split(command)[1:])
            actual = said.getvalue()
            for shown, real in zip(ID.findall(expected), ID.findall(actual), strict=False):
                ids.setdefault(shown, real)
            for shown, real in ids.items():
                actual = actual.replace(real, shown)
            assert comparable(actual) == comparable(expected), command
            ran += 1
    assert ran >= 10


@pytest.mark.parametrize("word", ["submit", "plan", "jobs", "show", "watch", "results", "errors"])
def test_the_page_names_every_command(word):
    """A command that the page does not mention is one nobody finds."""
    assert f"`{word}`" in PAGE.read_text("utf-8") or f"batchframe {word}" in PAGE.read_text("utf-8")
