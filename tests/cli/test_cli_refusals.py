"""Every refusal is one message on standard error, exit code 2, and nothing is sent."""

from __future__ import annotations

import pytest

ASKED = ["--model", "fake/x", "--prompt", "{text}"]

REFUSALS = [
    (
        ["submt"],
        ("No command 'submt'. Did you mean 'submit'? Known: submit, plan, jobs, show, watch, "
        "results, errors, retry, cancel, forget, encode, decode, models, local."),
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x", "--promt", "{text}"],
        ("No option --promt. Did you mean '--prompt' or '--param' or '--prompt-file'? "
        "Help: batchframe submit --help"),
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x", "--prom", "{text}"],
        ("No option --prom. Did you mean '--prompt' or '--param' or '--prompt-file'? "
        "Help: batchframe submit --help"),
    ),
    (
        ["submit", "reviews.csv", "--prompt", "Is", "it", "{text}?"],
        ("'it' is one word too many; a text with spaces stands in quotes. "
        "Help: batchframe submit --help"),
    ),
    (
        ["submit"],
        "The following arguments are required: FILE. Help: batchframe submit --help",
    ),
    (
        ["submit", "reviews.csv", "--prompt", "x"],
        "Which model? --model provider/model; batchframe models lists them.",
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x"],
        "What to ask? --prompt 'Text with {column}', or --prompt-file FILE.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--prompt-file", "x"],
        "Give --prompt or --prompt-file, not both.",
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x", "--prompt-file", "no.txt"],
        "The prompt file no.txt cannot be read: No such file or directory.",
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x", "--prompt-file", "latin.txt"],
        "The prompt file latin.txt is not UTF-8.",
    ),
    (
        ["submit", "revews.csv", *ASKED],
        "There is no file revews.csv. Did you mean 'reviews.csv'?",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--out", "out.foo"],
        ("out.foo: The suffix '.foo' does not say how the file is written. Known: .csv, .tsv, "
        ".parquet, .ndjson, .jsonl, .json, .arrow, .feather."),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--out", "out.csv", "--detach"],
        "--detach leaves before there are answers to write. Later: batchframe results ID --out FILE",
    ),
    (
        ["submit", "reviews.csv", "--model", "fak/x", "--prompt", "{text}"],
        "No provider 'fak'. Did you mean 'fake'? Providers: azure, echo, fake, fireworks, groq, local, mistral, openai, together, xai.",
    ),
    (
        ["submit", "reviews.csv", "--model", "fake/x", "--prompt", "{txt}"],
        ("--prompt asks for the column 'txt', which the frame does not have. Did you mean 'text'? "
        "Columns: 'id', 'text'. For a brace in the text, write '{{' or '}}'."),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--key", "ids"],
        "--key ids is not a column. Did you mean 'id'? Columns: 'id', 'text'.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "temprature=0"],
        ("No parameter 'temprature' for /v1/chat/completions. Did you mean 'temperature'? "
        "A parameter only your server knows goes into --extra temprature=VALUE."),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "temperature=9"],
        "The parameter temperature=9 was refused: it must be a number from 0 to 2.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "max_tokens=abc"],
        "The parameter max_tokens='abc' was refused: it must be a whole number, at least 1.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "temperature=NaN"],
        "The parameter temperature=nan was refused: it must be a number from 0 to 2.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", f"seed={'1' * 5000}"],
        f"The parameter seed='{'1' * 40}'... was refused: it must be a whole number.",
    ),
    (
        ["submit", "reviews.csv", "--model", "smollm2", "--prompt", "{text}"],
        ("A model is written provider/model, for example 'local/smollm2'; got 'smollm2'. Did you mean "
        "'local/smollm2'?"),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "temperature"],
        "--param temperature: write name=value, such as temperature=0.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "seed=1", "--param", "seed=2"],
        "--param seed: given twice.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--param", "frame=1"],
        ("--param frame=...: 'frame' is not a parameter of the model. "
        "batchframe submit --help lists the options."),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--mode", "bach"],
        "No --mode 'bach'. Did you mean 'batch'? Known: batch, immediate.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--budget-usd", "ten"],
        ("Argument --budget-usd: 'ten' is not an amount of dollars, such as 2.50. "
        "Help: batchframe submit --help"),
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--limit", "0"],
        ("Argument --limit: '0' is not a number of rows, such as 10. "
        "Help: batchframe submit --help"),
    ),
    (
        ["submit", "answered.csv", *ASKED],
        ("The frame already has 'response', which the result would add. Keep both with "
        "--prefix llm_."),
    ),
    (
        ["submit", "lines_short.csv", *ASKED],
        ("lines_short.csv, line 3: 1 field where the header has 2. A text with a separator or a line "
        "break in it must stand in double quotes."),
    ),
    (
        ["submit", "mixed.ndjson", *ASKED],
        "mixed.ndjson: cannot parse 'true' (bool) as Float64.",
    ),
    (
        ["submit", "reviews.csv", *ASKED, "--schema", "no.json"],
        "The schema no.json cannot be read: No such file or directory.",
    ),
    (["results", "job-x"], "The following arguments are required: --out. Help: batchframe results --help"),
    (["results", "job-x", "--out", "no/a.csv"], "There is no folder no to write a.csv into."),
    (
        ["local", "pull", "smollm"],
        "There are no weights named 'smollm' to pull. Did you mean 'smollm2'? Known: smollm2.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSALS, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_said_in_one_message(run, reviews, here, cloud, words, message):
    """The whole text is compared: what happened, the nearest right word, the line to type."""
    (here / "latin.txt").write_bytes(b"\xff")
    (here / "answered.csv").write_text("text,response\na,b\n")
    (here / "lines_short.csv").write_text("id,text\n1,a\n2\n")
    (here / "mixed.ndjson").write_text('{"text": 1}\n{"text": 1.5}\n{"text": true}\n')
    done = run(*words)
    assert done.err == f"batchframe: {message}\n"
    assert (done.code, done.out, cloud.batches()) == (2, "", [])


@pytest.mark.parametrize(
    "words",
    [["show"], ["watch"], ["results", "--out", "-"], ["errors"], ["retry"], ["cancel"], ["forget"]],
    ids=lambda words: words[0],
)
def test_an_unknown_job_is_refused_with_those_that_are_known(ask, run, here, words):
    """Every command that takes an id says the same of a wrong one."""
    identity = ask().out.strip()
    done = run(words[0], "job-zzzz", *words[1:])
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"batchframe: No job 'job-zzzz' in {here / 'workspace'}. The newest: {identity}. "
        "All of them: batchframe jobs.\n"
    )


def test_a_job_that_runs_is_not_retried_or_forgotten(ask, run, cloud):
    """The message speaks of commands, not of methods."""
    cloud.polls = 10**6
    identity = ask("--detach").out.strip()
    assert run("retry", identity).err == (
        f"batchframe: Job {identity} is running. Type: batchframe watch {identity}, then "
        f"batchframe retry {identity}\n"
    )
    assert run("forget", identity).err == (
        f"batchframe: Job {identity} is running. Type: batchframe cancel {identity}, then "
        f"batchframe forget {identity}\n"
    )
    run("cancel", identity)


def test_no_command_prints_the_help_on_standard_error(run):
    """A missing word is an error, but not one to scold for."""
    done = run()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: batchframe ")
    assert run("local").err.startswith("usage: batchframe local ")


def test_help_and_version_are_asked_for_and_go_to_standard_output(run):
    """So that they can be piped."""
    import batchframe as bf

    assert run("--version").out == f"batchframe {bf.__version__}\n"
    assert run("submit", "--help").out.startswith("usage: batchframe submit ")
    assert run("submit", "--help").code == 0


def test_what_nobody_foresaw_shows_no_traceback_unless_asked_for(run, monkeypatch):
    """`BATCHFRAME_DEBUG=1` is for reports."""
    import batchframe as bf

    def broken(**_options):
        msg = "odd"
        raise KeyError(msg)

    monkeypatch.setattr(bf, "jobs", broken, raising=False)
    done = run("jobs")
    assert (done.code, done.err) == (
        1,
        (
            "batchframe: Something went wrong that batchframe did not foresee: KeyError: 'odd'\n"
            "With BATCHFRAME_DEBUG=1 the same command shows where; please report that.\n"
        ),
    )
    monkeypatch.setenv("BATCHFRAME_DEBUG", "1")
    assert run("jobs").err.startswith("Traceback (most recent call last):\n")
