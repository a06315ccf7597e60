"""What each command does, against fakes, inside the test's process."""

from __future__ import annotations

import json
import re
import time

import polars as pl
import pytest

import batchframe as bf
from batchframe.errors import AuthenticationError
from batchframe.model import Limits
from batchframe.testing import Fake, registered

ID = re.compile(r"job-[a-z2-7]{10}")


def job_id(text):
    return ID.search(text)[0]


def test_submit_writes_the_rows_with_their_answers(ask, here, cloud):
    """Same rows, same order, the text of the file as it was; failed rows are exit code 3."""
    done = ask("--out", "out.csv")
    written = pl.read_csv(here / "out.csv", infer_schema=False)
    assert written.select("id", "text", "response", "error").rows() == [
        ("001", "good", "Is it good?", None),
        ("002", "bad", "Is it bad?", None),
        ("003", None, None, "empty_prompt: prompt= is null in this row"),
    ]
    assert (done.code, done.out) == (3, "")
    assert len(cloud.batches()) == 1


def test_submit_ends_with_0_when_every_row_has_an_answer(run, here):
    """Exit code 3 is for failed rows only."""
    (here / "a.csv").write_text("text\ngood\n")
    words = ["submit", "a.csv", "--model", "fake/x", "--prompt", "{text}", "--out", "o.parquet"]
    assert run(*words).code == 0
    assert pl.read_parquet(here / "o.parquet")["response"].to_list() == ["good"]


def test_submit_without_out_prints_the_id_and_nothing_else_on_standard_output(ask):
    """`id=$(batchframe submit ...)` is how a script keeps the job."""
    done = ask()
    assert ID.fullmatch(done.out.strip())
    assert f"batchframe: The answers: batchframe results {done.out.strip()} --out FILE" in done.err


def test_out_minus_is_ndjson_on_standard_output(ask):
    """One object a line; progress goes elsewhere."""
    rows = [json.loads(line) for line in ask("--out", "-").out.splitlines()]
    assert [row["response"] for row in rows] == ["Is it good?", "Is it bad?", None]


def test_the_same_command_does_not_pay_again_unless_again_says_so(ask, cloud):
    """Promise 1, from a shell; the note speaks of the shell's option."""
    first = ask().out
    second = ask()
    assert second.out == first
    assert len(cloud.batches()) == 1
    assert "again=True" not in second.err
    assert "; --again runs and pays anew\n" in second.err
    assert ask("--again").out != first
    assert len(cloud.batches()) == 2


def test_an_existing_out_is_refused_before_anything_is_sent(ask, here, cloud):
    """`--force` replaces it."""
    (here / "out.csv").write_text("mine")
    done = ask("--out", "out.csv")
    assert (done.code, done.err) == (
        2,
        "batchframe: out.csv is there already. --force replaces it.\n",
    )
    assert (here / "out.csv").read_text() == "mine"
    assert cloud.batches() == []
    assert ask("--out", "out.csv", "--force").code == 3
    assert (here / "out.csv").read_text().startswith("id,text,response")


def test_columns_that_out_cannot_hold_are_refused_before_anything_is_sent(run, here, cloud):
    """Images do not go into a CSV file, and the job would be paid by then."""
    pl.DataFrame({"text": ["a"], "image": [b"\xff"]}).write_parquet(here / "a.parquet")
    words = ["submit", "a.parquet", "--model", "fake/x", "--prompt", "{text}", "--out", "o.csv"]
    done = run(*words)
    assert (done.code, done.err) == (
        2,
        (
            "batchframe: The column 'image' holds bytes, which CSV cannot hold. "
            "Write o.parquet instead.\n"
        ),
    )
    assert cloud.batches() == []


def test_answers_that_cannot_be_written_are_kept_and_the_message_says_where(ask, here, monkeypatch):
    """The disk may fill while the job runs; the job is whole then, and the exit code is 1."""
    from batchframe.frame import files

    def full(query, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(files.FORMATS, ".csv", files.Format("CSV", files._read_csv, full))
    done = ask("--out", "out.csv")
    identity = job_id(done.err)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        f"batchframe: {here / 'out.csv'} cannot be written: the disk is full. "
        f"The answers are kept: batchframe results {identity} --out FILE"
    )


def test_options_reach_the_request(ask, here, cloud):
    """JSON values are JSON, others text; system, key, name and prefix arrive."""
    (here / "ask.txt").write_text("From a file: {text}\n", "utf-8")
    bodies = []
    cloud.answer = lambda body: bodies.append(body) or "x"
    done = ask(
        *["--system", "Be brief.", "--param", "temperature=0", "--param", 'stop=["a"]'],
        *["--param", "reasoning_effort=low", "--extra", "top_k=3", "--key", "id"],
        *["--name", "Reviews", "--prefix", "llm_", "--limit", "1", "--out", "out.csv"],
    )
    assert done.code == 0
    assert bodies == [
        {
            "model": "x",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Is it good?"},
            ],
            "temperature": 0,
            "stop": ["a"],
            "reasoning_effort": "low",
            "top_k": 3,
        }
    ]
    assert "llm_response" in pl.read_csv(here / "out.csv").columns
    assert bf.jobs()["name"].to_list() == ["Reviews"]


def test_a_prompt_file_is_the_prompt_without_its_last_line_break(run, reviews, here, cloud):
    """Editors end a file with a line break that nobody meant."""
    (here / "ask.txt").write_bytes("\ufeffTwo lines:\n{text}\n".encode())
    asked = []
    cloud.answer = lambda body: asked.append(body["messages"][-1]["content"]) or "x"
    run("submit", reviews.name, "--model", "fake/x", "--prompt-file", "ask.txt")
    assert asked == ["Two lines:\ngood", "Two lines:\nbad"]


def test_a_schema_gives_a_typed_column_which_is_json_text_in_a_csv(ask, here, cloud):
    """The answers are checked against the file; one that does not fit is a failed row."""
    schema = {"type": "object", "properties": {"stars": {"type": "integer", "maximum": 5}}}
    (here / "s.json").write_text(json.dumps(schema))
    cloud.answer = lambda body: json.dumps(
        {"stars": 4 if "good" in body["messages"][-1]["content"] else 9}
    )
    ask("--schema", "s.json", "--out", "out.csv")
    written = pl.read_csv(here / "out.csv")
    assert written["parsed"].to_list() == ['{"stars":4}', None, None]
    assert written["error"][1].startswith("invalid_response: ")
    ask("--schema", "s.json", "--out", "out.parquet")
    assert pl.read_parquet(here / "out.parquet")["parsed"].dtype == pl.Struct({"stars": pl.Int64})


def test_plan_sends_nothing_and_ends_with_2_when_submit_would_refuse(run, reviews, cloud):
    """It takes the words of submit, so that a line can be tried by changing one of them."""
    words = [reviews.name, "--model", "fake/x", "--prompt", "{text}", "--out", "o.csv"]
    done = run("plan", *words)
    assert done.code == 0
    assert done.out.splitlines()[0] == "Plan: 3 rows, 2 to send in 1 part, mode batch"
    refused = run("plan", *words, "--budget-usd", "1")
    assert refused.code == 2
    assert refused.out.splitlines()[-1].endswith("or leave out --budget-usd.")
    assert (cloud.batches(), bf.jobs().height) == ([], 0)


def test_detach_leaves_a_batch_at_its_provider_and_watch_fetches_it(ask, run, cloud):
    """When the command returns the batch exists; nothing before that could be left alone."""
    cloud.polls = 10**6
    done = ask("--detach")
    identity = done.out.strip()
    assert len(cloud.batches()) == 1
    assert done.code == 0
    assert done.err == (
        "batchframe: The batch is at fake and goes on there. To fetch the answers: "
        f"batchframe watch {identity}\n"
    )
    cloud.polls = 0
    assert run("watch", identity).code == 3
    assert run("results", identity, "--out", "-").out.count("\n") == 3


def test_detach_does_not_pretend_where_nobody_runs_the_rows(ask):
    """A managed job stands still without a process of ours, and the message says so."""
    done = ask("--detach", model="echo/x")
    identity = done.out.strip()
    assert done.err == (
        "batchframe: echo/x has no batch of its own to leave the rows to: they are sent by a "
        "batchframe process, and this one ends here. The job is kept and goes on while this runs: "
        f"batchframe watch {identity}\n"
    )


def test_results_errors_show_and_jobs_tell_of_the_same_job(ask, run, here):
    """One job, seen from four sides."""
    identity = ask().out.strip()
    assert run("results", identity, "--out", "o.ndjson").code == 3
    assert pl.read_ndjson(here / "o.ndjson").height == 3
    assert run("errors", identity).out == (
        "row  code          message\n2    empty_prompt  prompt= is null in this row\n"
    )
    assert run("errors", identity, "--out", "-").out.startswith('{"row":2,"custom_id":')
    shown = run("show", identity).out
    assert f"job      {identity}\nname     Is it {{text}}?\nmodel    fake/x (batch)\n" in shown
    assert "error    1 x empty_prompt: prompt= is null in this row\n" in shown
    assert json.loads(run("show", identity, "--json").out)["failed"] == 1
    listed = json.loads(run("jobs", "--json").out)
    assert [(row["id"], row["state"], row["cost_usd"]) for row in listed] == [
        (identity, "completed", None)
    ]
    assert re.fullmatch(
        r"id {14}state {6}rows  failed  cost {5}created \(UTC\) {5}model {3}name\n"
        rf"{identity}  completed  3/3   1       unknown  \d{{4}}-\d\d-\d\d \d\d:\d\d  fake/x  "
        r"Is it \{text\}\?\n",
        run("jobs").out,
    )


def test_many_failed_rows_are_shown_in_part_and_written_in_full(run, here, tmp_path):
    """A terminal is no place for a thousand lines."""
    (here / "many.csv").write_text("text,id\n" + ",1\n" * 25)
    done = run("submit", "many.csv", "--model", "fake/x", "--prompt", "{text}")
    identity = done.out.strip()
    shown = run("errors", identity)
    assert shown.out.count("\n") == 21
    assert shown.err == (
        f"batchframe: 5 more. All of them: batchframe errors {identity} --out errors.ndjson\n"
    )
    run("errors", identity, "--out", "errors.ndjson")
    assert pl.read_ndjson(here / "errors.ndjson").height == 25


def test_retry_sends_again_what_a_second_try_can_help(ask, run, cloud):
    """Half of the batch expired; the exit code follows the rows."""
    cloud.end = "expired"
    identity = ask("--limit", "2").out.strip()
    cloud.end = "completed"
    assert run("retry", identity).code == 0
    assert len(cloud.batches()) == 2
    again = run("retry", identity)
    assert (again.code, again.err) == (
        0,
        f"batchframe: No row of {identity} is worth sending again.\n",
    )


def test_cancel_waits_for_what_is_paid_and_forget_removes_it(ask, run, cloud):
    """A cancelled job keeps its answers until it is forgotten."""
    cloud.polls = 10**6
    identity = ask("--detach", "--limit", "2").out.strip()
    assert run("cancel", identity).code == 0
    again = run("cancel", identity)
    assert again.err == f"batchframe: {identity} has ended already: cancelled.\n"
    assert run("results", identity, "--out", "-").out.count('"response":"Is it good?"') == 1
    gone = run("forget", identity)
    assert (gone.code, gone.err) == (0, f"batchframe: {identity} is forgotten.\n")
    assert run("show", identity).code == 2


@pytest.fixture
def stopped(ask, cloud, monkeypatch):
    """A job that failed here while its batch lives on at the provider; gives its id."""

    def refused(_ticket):
        msg = "The key is not accepted."
        raise AuthenticationError(msg)

    cloud.polls = 10**6
    with monkeypatch.context() as patch:
        patch.setattr(cloud, "poll", refused)
        return job_id(ask("--limit", "2").err)


def test_a_failed_job_whose_batch_lives_is_not_forgotten_but_cancelled_first(stopped, run, cloud):
    """The batch goes on costing money, so the shell's own lines must reach it."""
    alive = run("forget", stopped)
    assert (alive.code, alive.out) == (2, "")
    assert alive.err == (
        f"batchframe: Job {stopped} is failed and has a batch that may still run. "
        f"Type: batchframe cancel {stopped}, then batchframe forget {stopped}\n"
    )
    assert run("cancel", stopped).code == 0
    assert [batch["cancelled"] for batch in cloud.batches()] == [True]
    assert run("results", stopped, "--out", "-").out.count('"response":"Is it good?"') == 1
    assert run("forget", stopped).err == f"batchframe: {stopped} is forgotten.\n"
    assert bf.jobs().is_empty()


def test_a_cancel_that_does_not_reach_the_provider_names_itself_as_the_way_on(
    stopped, run, cloud, monkeypatch
):
    """`retry` would go on with what was to be stopped."""

    def refused(_ticket):
        msg = "The key is not accepted."
        raise AuthenticationError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "cancel", refused)
        done = run("cancel", stopped)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        f"batchframe: Job {stopped} (fake/x) stopped after 0 of 2 rows: The key is not accepted. "
        f"Then stop it: batchframe cancel {stopped}"
    )
    assert [batch["cancelled"] for batch in cloud.batches()] == [False]
    assert run("cancel", stopped).code == 0
    assert [batch["cancelled"] for batch in cloud.batches()] == [True]


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_what_has_ended_well_is_not_cancelled_again(ask, run, cloud, end):
    """Nothing of it can cost any more, and no batch is touched."""
    cloud.polls = 10**6 if end == "cancelled" else 2
    words = ["--detach"] if end == "cancelled" else []
    identity = ask("--limit", "2", *words).out.strip()
    if end == "cancelled":
        run("cancel", identity)
    batches = cloud.batches()
    done = run("cancel", identity)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"batchframe: {identity} has ended already: {end}.\n"
    assert cloud.batches() == batches


def test_a_job_that_stops_is_exit_code_1_with_the_line_that_goes_on(ask, run, cloud):
    """The message names the job, the cause and the command, not Python."""

    def broken(lines):
        msg = "the fake broke"
        raise RuntimeError(msg)

    cloud.lines = broken
    done = ask()
    identity = job_id(done.err)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        f"batchframe: Job {identity} (fake/x) stopped after 1 of 3 rows: RuntimeError: the fake "
        f"broke Then go on with it: batchframe retry {identity}"
    )
    assert run("results", identity, "--out", "-").code == 1
    cloud.lines = lambda lines: lines
    assert run("retry", identity).code == 3


def test_the_workspace_may_be_named_before_and_after_the_command(ask, run, here):
    """Only a submit makes a new one; lists of a folder that is not there are an error."""
    identity = ask("--workspace", "other").out.strip()
    assert identity in run("--workspace", "other", "jobs").out
    assert identity in run("jobs", "--workspace", "other").out
    empty = run("jobs")
    assert (empty.code, empty.out) == (0, "")
    assert empty.err == f"batchframe: No jobs in {here / 'workspace'} yet.\n"
    missing = run("jobs", "--workspace", "nope")
    assert (missing.code, missing.err) == (2, "batchframe: There is no workspace at nope.\n")
    assert not (here / "nope").exists()


def test_models_lists_what_each_one_needs(run, tmp_path):
    """The line that brings what is missing stands beside the model."""
    from batchframe.errors import MissingCredentialsError, missing_extra
    from batchframe.providers import registry

    class NoKey(Fake):
        def check(self, model, endpoint):
            msg = "No key for cloudy. Type: export CLOUDY_API_KEY=..."
            raise MissingCredentialsError(msg)

    class NoPackage(Fake):
        def check(self, model, endpoint):
            msg = "cirrus"
            raise missing_extra(msg, "cirrus", "cirrus/anything")

    with (
        registered(NoKey(tmp_path, name="cloudy")),
        registered(NoPackage(tmp_path, name="cirrus")),
        registered(Fake(tmp_path, name="local")),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(registry, "names", lambda: ["cirrus", "cloudy", "fake", "local"])
        assert run("models").out == (
            "model            needs\n"
            "cirrus/anything  pip install 'batchframe[cirrus]'\n"
            "cloudy/anything  export CLOUDY_API_KEY=...\n"
            "fake/anything    nothing, it is ready\n"
            "local/anything   nothing, it is ready\n"
        )


def test_local_lists_and_pulls_weights(run, tmp_path, monkeypatch):
    """`list` says what is here and how to get the rest; `pull` takes either way of naming a model."""
    from batchframe.providers import weights

    monkeypatch.setenv("BATCHFRAME_MODELS", str(tmp_path / "models"))
    listed = run("local", "list").out.splitlines()
    row = next(line for line in listed if line.startswith("local/smollm2 "))
    assert row.endswith("  98 MB  batchframe local pull smollm2")  # as README and the docs say
    pulled = []
    monkeypatch.setattr(weights, "pull", lambda name, echo: pulled.append(name) or echo("Ready."))
    assert run("local", "pull", "smollm2").err == "batchframe: Ready.\n"
    run("local", "pull", "local/smollm2")
    assert pulled == ["smollm2", "smollm2"]


def test_detach_leaves_when_every_batch_is_at_its_provider(ask, cloud, monkeypatch):
    """They are made side by side, and none of them would be made without this process."""
    create = cloud.create

    def slowly(part, ticket):
        if part.number:
            time.sleep(0.8)
        return create(part, ticket)

    monkeypatch.setattr(cloud, "create", slowly)
    cloud.polls = 10**6
    cloud.limits = Limits(requests=1, bytes=10**6, source="a test", as_of="2026-11-24")
    done = ask("--detach")
    identity = done.out.strip()
    assert len(cloud.batches()) == 2
    assert done.err == (
        "batchframe: All 2 batches are at fake and go on there. To fetch the answers: "
        f"batchframe watch {identity}\n"
    )


def test_a_text_parameter_stays_text_though_it_looks_like_a_number(ask, cloud):
    """A user's id may be all digits, and JSON would make a number of it."""
    assert ask("--param", "user=007", "--param", "service_tier=1", "--param", "seed=7").code == 3
    (sent,) = cloud.folder.glob("*.input.jsonl")
    body = json.loads(sent.read_text().splitlines()[0])["body"]
    assert (body["user"], body["service_tier"], body["seed"]) == ("007", "1", 7)
