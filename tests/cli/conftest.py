"""Providers without a network, and a way to run the command line inside the test's process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from batchframe.cli import main
from batchframe.testing import Echo, Fake, registered


@dataclass(frozen=True, slots=True)
class Run:
    """What one command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cloud(tmp_path):
    """A provider with a batch API, registered as `fake`, and one without, as `echo`."""
    with registered(Fake(tmp_path / "cloud")) as fake, registered(Echo()):
        yield fake


@pytest.fixture
def here(tmp_path, monkeypatch, cloud):
    """An empty folder to work in, so that messages show short paths."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BATCHFRAME_HOME", "workspace")
    return folder


@pytest.fixture
def reviews(here):
    """Three rows, the last one without a text."""
    path = here / "reviews.csv"
    path.write_text("id,text\n001,good\n002,bad\n003,\n")
    return path


@pytest.fixture
def run(capsys, here):
    """Run one command; gives exit code, standard output and standard error."""

    def running(*argv):
        capsys.readouterr()
        code = main([str(word) for word in argv])
        said = capsys.readouterr()
        return Run(code, said.out, said.err)

    return running


@pytest.fixture
def ask(run, reviews):
    """Submit the reviews to the fake; more words may follow."""

    def asking(*more, model="fake/x", prompt="Is it {text}?"):
        return run("submit", reviews.name, "--model", model, "--prompt", prompt, *more)

    return asking
