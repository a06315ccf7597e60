"""Result files of others are read whole, said to be odd where they are, and written as OpenAI's own."""

from __future__ import annotations

import json

import orjson
import polars as pl
import pytest

import batchframe as bf
from batchframe import cli, errors
from batchframe.orchestration import idmap
from batchframe.testing import Fake, registered


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """Keys that are none: nothing is sent."""
    for vendor in ("OPENAI", "GROQ", "XAI"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "no-key-at-all")


def answered(custom_id, text="Yes."):
    body = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }  # fmt: skip
    response = {"status_code": 200, "request_id": "q", "body": body}
    return {"id": "b", "custom_id": custom_id, "response": response, "error": None}


def write(path, *rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def translated(capsys, path, *words, model="groq/m"):
    """Give the exit code, what was said, and the lines of `batchframe decode`."""
    code = cli.main(["decode", str(path), "--model", model, "--out", "-", *map(str, words)])
    told = capsys.readouterr()
    return code, told.err, [json.loads(line) for line in told.out.splitlines()]


def refused(custom_id, status, body):
    response = {"status_code": status, "request_id": "q", "body": body}
    return {"id": "b", "custom_id": custom_id, "response": response, "error": None}


WORDS = {"message": "m", "type": "t", "param": None}
FAILED = [
    refused("a", 500, {"error": {**WORDS, "code": "odd"}}),
    refused("b", 429, {"error": {**WORDS, "code": None}}),
    refused("c", 404, {"error": {**WORDS, "code": "model_not_found"}}),
    refused("d", 0, None),
    refused("e", 502, "<html>bad gateway</html>"),
    refused("f", 422, {"detail": "no such field"}),
    {"custom_id": "g", "response": None, "error": {"code": "batch_expired", "message": "late"}},
    {"custom_id": "h", "response": None, "error": {"code": 503, "message": "busy"}},
    {**answered("i"), "error": {"code": 429, "message": "slow"}},
    refused("j", 200, {"choices": []}),
    refused("k", 200, None),
]


def test_errors_keep_their_status_and_say_the_same_when_read_again(tmp_path, capsys):
    """As at OpenAI the reason of a refused row is in its body, and its `error` is null."""
    given = write(tmp_path / "r.jsonl", *FAILED)
    code, _, lines = translated(capsys, given)
    assert code == 3
    assert [(line["response"] or {}).get("status_code") for line in lines] == [
        500, 429, 404, 0, 502, 422, None, 503, 429, 200, 200,
    ]  # fmt: skip
    assert [line["error"] is None for line in lines] == [True] * 6 + [False] + [True] * 2 + [
        False
    ] * 2
    assert lines[0]["response"]["body"] == FAILED[0]["response"]["body"]
    assert lines[5]["response"]["body"] == {
        "error": {"code": "422", "message": "no such field", "type": None, "param": None}
    }
    facts = ("custom_id", "error_code", "error_message", "error_status", "retryable")
    before = bf.decode(given, model="groq/m").select(facts)
    again = write(tmp_path / "again.jsonl", *lines)
    assert bf.decode(again, model="openai/m").select(facts).equals(before)


def test_xais_results_are_read_as_xai_gives_them(tmp_path, capsys):
    """Its lines call the id `batch_request_id`."""
    body = answered("")["response"]["body"]
    rows = [
        {"batch_request_id": i, "batch_result": {"response": {"chat_get_completion": body}}}
        for i in ("r1", "r0")
    ]
    ids = tmp_path / "ids.parquet"
    pl.DataFrame({"row": [0, 1], "custom_id": ["r0", "r1"]}).write_parquet(ids)
    given = write(tmp_path / "r.jsonl", *rows)
    found = bf.decode(given, model="xai/grok-4.3", ids=ids)
    assert found["ok"].to_list() == [True, True]
    assert translated(capsys, given, model="xai/grok-4.3")[2][0]["custom_id"] == "r1"


def test_results_come_in_the_order_of_rows(tmp_path, capsys, monkeypatch):
    """However they stand in the files, and in whatever pieces they are sorted; refused ones as well."""
    monkeypatch.setattr("batchframe.frame.ordered.BYTES", 2_000)
    rows = range(60)
    ids = pl.DataFrame(
        {
            "row": rows,
            "custom_id": [f"r{i}" for i in rows],
            "key": [f"key {i}" for i in rows],
            "error": ["invalid_request: no" if i % 7 == 3 else None for i in rows],
        }
    )
    ids.sample(fraction=1, shuffle=True, seed=5).write_parquet(tmp_path / "ids.parquet")
    order = pl.Series(rows).sample(fraction=1, shuffle=True, seed=1)
    given = write(
        tmp_path / "r.jsonl",
        *(answered(f"r{i}", f"text {i}") for i in order if i % 7 not in (3, 5)),
    )
    code, told, lines = translated(capsys, given, "--ids", tmp_path / "ids.parquet")
    assert [line["custom_id"] for line in lines] == ids["key"].to_list()
    codes = {3: "invalid_request", 5: "missing"}
    for i, line in enumerate(lines):
        if i % 7 in codes:
            assert line["error"]["code"] == codes[i % 7]
        else:
            said = line["response"]["body"]["choices"][0]["message"]["content"]
            assert said == f"text {i}"
    assert (code, told) == (3, "batchframe: 60 results, 17 of them errors\n")


def test_what_is_odd_about_the_files_is_said(tmp_path, capsys):
    """By the command, the function and the job alike."""
    ids = tmp_path / "ids.parquet"
    pl.DataFrame({"row": [0], "custom_id": ["r0"]}).write_parquet(ids)
    given = write(tmp_path / "r.jsonl", answered("r0"), answered("r9"))
    with given.open("ab") as file:
        file.write(b"nonsense\n")
    said = "the result files held 1 unreadable line, 1 unknown line"
    assert said in translated(capsys, given, "--ids", ids)[1]
    bf.decode(given, model="groq/m", ids=ids)
    told = capsys.readouterr()
    assert f"batchframe: {said}\n" in told.err + told.out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"row": [0, None], "custom_id": ["a", "b"]}, "has a null as 'row' in its line 1, counted from 0: every row needs its number and its id. Take that line out, or encode again."),
        ({"row": [0, 1], "custom_id": [None, "b"]}, "has a null as 'custom_id' in its line 0, counted from 0: every row needs its number and its id. Take that line out, or encode again."),
        ({"row": ["x"], "custom_id": ["a"]}, "has a column 'row' of String; encode() writes Int64."),
        ({"row": [0.5], "custom_id": ["a"]}, "has a column 'row' of Float64; encode() writes Int64."),
        ({"row": [0, 1], "custom_id": ["a", "a"]}, "has the custom_id 'a' more than once, so nobody could say whose answer is whose. Give the map of one encode()."),
        ({"row": [4, 4], "custom_id": ["a", "b"]}, "has the row 4 more than once, so nobody could say whose answer is whose. Give the map of one encode()."),
        ({"row": [0]}, "has no column 'custom_id'; encode() writes one."),
    ],
)  # fmt: skip
def test_a_map_that_says_nothing_clear_is_refused(tmp_path, rows, message):
    """No row is dropped in silence."""
    pl.DataFrame(rows).write_parquet(tmp_path / idmap.IDS)
    given = write(tmp_path / "r.jsonl", answered("a"))
    with pytest.raises(errors.FileError) as told:
        bf.decode(given, model="groq/m", ids=tmp_path / idmap.IDS)
    assert str(told.value) == f"The id map {tmp_path / idmap.IDS} {message}"


def test_an_id_may_stand_twice_where_two_models_were_asked(tmp_path):
    """Each one's files are read by themselves."""
    rows = {"row": [0, 1], "custom_id": ["a", "a"], "model": ["groq/m", "openai/m"]}
    pl.DataFrame(rows).write_parquet(tmp_path / idmap.IDS)
    given = write(tmp_path / "r.jsonl", answered("a"))
    assert bf.decode(given, model="openai/m", ids=tmp_path / idmap.IDS)["row"].to_list() == [1]


@pytest.mark.parametrize("paths", [None, 5, [None], {"a": 1}])
def test_what_is_no_path_is_refused(paths):
    """By its name, not by Python's own complaint."""
    with pytest.raises(
        errors.InputError, match=r"decode\(\) takes a path or a list of paths, not "
    ):
        bf.decode(paths, model="groq/m")


class Torn(Fake):
    """A provider one of whose files has a line that is nonsense."""

    def fetch(self, ticket, into):
        """Fetch, and damage what came."""
        files = super().fetch(ticket, into)
        with files[0].open("ab") as file:
            file.write(b"nonsense\n")
        return files


def test_a_job_says_what_was_odd_about_its_files(tmp_path):
    """The view has it, so that the card and `batchframe show` have it as well."""
    with registered(Torn(tmp_path / "cloud", polls=0)):
        job = pl.DataFrame({"t": ["a", "b"]}).batch.submit(model="fake/m", prompt="{t}").wait()
        assert job.view.message == "the result files held 1 unreadable line"
        assert job.outputs()["ok"].all()
