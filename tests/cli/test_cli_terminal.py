"""What a terminal gets: as wide as it is, in its letters, and nothing that could drive it."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from batchframe.cli import main
from batchframe.commands import printing

HOSTILE = "\x1b]0;owned\x07\x1b[2J red \u202e\x9b31m"


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self):
        return True

    def text(self):
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture
def terminal(monkeypatch):
    """Make standard output a terminal of 50 columns, when called: capturing sets it back before."""

    def become():
        made = Terminal()
        monkeypatch.setattr(sys, "stdout", made)
        monkeypatch.setenv("COLUMNS", "50")
        return made

    return become


def test_a_table_is_cut_at_the_terminals_width_and_whole_in_a_pipe(terminal, monkeypatch):
    """Cells are counted: a Chinese letter takes two, an accent none."""
    rows = [("1", "é" * 60), ("2", "漢" * 60), ("3", "e\u0301" * 10)]
    shown = terminal()
    printing.table(("row", "text"), rows)
    lines = shown.text().splitlines()
    assert lines == [
        "row  text",
        "1    " + "é" * 44 + "…",
        "2    " + "漢" * 22 + "…",
        "3    " + "e\u0301" * 10,
    ]
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    printing.table(("row", "text"), rows)
    assert sys.stdout.getvalue().splitlines()[1] == "1    " + "é" * 60


def test_answers_written_to_a_terminal_cannot_drive_it_and_stay_json(ask, cloud, terminal):
    """What moves the cursor or turns the text around is an escape of JSON."""
    cloud.answer = lambda _body: HOSTILE
    stream = terminal()
    ask("--out", "-")
    shown = stream.text()
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert json.loads(shown.splitlines()[0])["response"] == HOSTILE


def test_every_character_that_hides_or_reorders_is_an_escape_on_a_terminal():
    """Bidi marks and isolates, tags beyond 16 bits, a soft hyphen; what is read stays as it is."""
    unsafe = "\x00\x1b\x7f\x85\x9b\xad\u061c\u180e\u200b\u200f\u202a\u202e\u2066\u2069\ufeff\ufffa\U000e0041"
    text = f"{unsafe}é漢🎉 family"
    stream = Terminal()
    printing.put(
        stream, json.dumps({"a": text}, ensure_ascii=False).replace("\\u0000", "\x00") + "\n"
    )
    shown = stream.text()
    assert not set(shown) & set(unsafe)
    assert shown.endswith('é漢🎉 family"}\n')
    assert json.loads(shown)["a"] == text


def test_answers_written_to_a_pipe_are_as_the_model_gave_them(ask, cloud):
    """A program wants the text, letter by letter."""
    cloud.answer = lambda _body: HOSTILE
    assert json.loads(ask("--out", "-").out.splitlines()[0])["response"] == HOSTILE


def test_hostile_texts_in_lists_and_messages_are_shown_clean(run, here, cloud):
    """A model's error text, a file's column names, a job's name: none reaches the terminal raw."""
    (here / "a.csv").write_text(f"te{HOSTILE}xt\nx\n")
    refused = run("submit", "a.csv", "--model", "fake/x", "--prompt", "{te}")
    assert refused.code == 2
    missing = run("submit", f"te{HOSTILE}.csv", "--model", "fake/x", "--prompt", "x")
    assert missing.err.startswith("batchframe: There is no file te red .csv.")
    cloud.answer = lambda _body: {"error": {"code": "bad", "message": HOSTILE}}
    (here / "b.csv").write_text("text\nx\n")
    words = ["submit", "b.csv", "--model", "fake/x", "--prompt", "{text}", "--name", HOSTILE]
    done = run(*words)
    identity = done.out.strip()
    seen = [refused.err, missing.err, done.err]
    for words in (["errors", identity], ["show", identity], ["jobs"]):
        seen += [run(*words).out]
    for text in seen:
        assert "red" in text or "te" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_a_terminal_without_utf_8_gets_question_marks_not_a_traceback(ask, cloud, monkeypatch):
    """An old console must not cost the job's last line."""
    out, err = Terminal("ascii"), Terminal("ascii")
    ask("--name", "Été")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["jobs"]) == 0
    assert main(["watch", "job-"]) == 3
    assert "?t?" in out.text()
    assert "?t? ? fake/x ? completed" in err.text()


def test_no_color_takes_the_colours_away(ask, run, monkeypatch):
    """The moving line is bold at most, and has no colour."""
    identity = ask().out.strip()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["watch", identity]) == 3
    assert "\x1b[3" not in err.text()
    monkeypatch.delenv("NO_COLOR")
    coloured = Terminal()
    monkeypatch.setattr(sys, "stderr", coloured)
    main(["watch", identity])
    assert "\x1b[" in coloured.text()


def test_a_reader_who_has_had_enough_ends_the_command_quietly(ask, monkeypatch):
    """`batchframe jobs | head -1` is no failure, and Python has nothing to complain of at its exit."""
    ask()

    class Closed(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    read, write = os.pipe()
    os.close(read)
    closed = Closed()
    closed.fileno = lambda: write
    monkeypatch.setattr(sys, "stdout", closed)
    assert main(["jobs"]) == 0
    os.write(write, b"goes nowhere now")
    os.close(write)


def test_ctrl_c_while_watching_is_130_and_says_that_the_job_is_kept(ask, cloud, monkeypatch):
    """Interrupting the looking does not stop the job."""
    from batchframe.notebook import terminal as face

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(face, "follow", interrupted)
        done = ask()
    identity = done.err.split("Job ")[1].split()[0]
    assert (done.code, done.out) == (130, "")
    assert done.err == (
        f"batchframe: Interrupted. Job {identity} is kept, and a batch that is at its provider "
        f"goes on there. Type: batchframe watch {identity}\n"
    )
    assert ask().out.strip() == identity
    assert len(cloud.batches()) == 1


def test_ctrl_c_before_there_is_a_job_is_130_too(run, monkeypatch):
    """There is nothing to name; the list tells."""
    import batchframe as bf

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(bf, "jobs", interrupted, raising=False)
    done = run("jobs")
    assert (done.code, done.err) == (
        130,
        "batchframe: Interrupted. `batchframe jobs` lists what is kept.\n",
    )
