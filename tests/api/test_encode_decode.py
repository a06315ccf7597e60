"""A provider's files without a job: the same lines as a submit's, and every row comes back."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import polars as pl
import pytest
from pydantic import BaseModel

import batchframe as bf
from batchframe import cli, errors
from batchframe.model import Limits
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["a", None, 'say "c"', "d"], "id": ["x", "y", "two words", "z"]})


@pytest.fixture
def cloud(tmp_path):
    """A provider with a batch API that takes two rows a batch."""
    limits = Limits(2, 10**6, "ours", "2026-11-24")
    with registered(Fake(tmp_path / "cloud", polls=0, limits=limits)) as fake:
        yield fake


def run(capsys, *words):
    code = cli.main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def results(files):
    """Answer encoded lines as a provider would, in reverse and with a line nobody asked for."""
    lines = []
    for file in files:
        for raw in Path(file).read_bytes().splitlines():
            request = orjson.loads(raw)
            said = {"content": request["body"]["messages"][-1]["content"]}
            body = {"choices": [{"message": said, "finish_reason": "stop"}], "model": "m-1"}
            lines.append(
                {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}}
            )
    lines.append(
        {"custom_id": "stranger", "response": None, "error": {"code": "x", "message": "y"}}
    )
    return b"".join(orjson.dumps(line) + b"\n" for line in reversed(lines))


def test_the_files_are_those_that_a_submit_uploads(cloud, tmp_path):
    """Byte for byte, part by part; the map says where each row is, or why it is nowhere."""
    files = DF.batch.encode(tmp_path / "out", model="fake/m", prompt="{text}", temperature=0)
    DF.batch.submit(model="fake/m", prompt="{text}", temperature=0).wait()
    sent = [path.read_bytes() for path in sorted(cloud.folder.glob("*.input.jsonl"))]
    assert sorted(file.read_bytes() for file in files) == sorted(sent)
    ids = pl.read_parquet(tmp_path / "out" / "ids.parquet")
    assert ids.select("row", "custom_id", "file").rows() == [
        (0, "r0", "fake-0000.jsonl"),
        (1, "r1", None),
        (2, "r2", "fake-0000.jsonl"),
        (3, "r3", "fake-0001.jsonl"),
    ]
    assert ids["error"][1] == "empty_prompt: prompt= is null in this row"
    assert len(cloud.batches()) == 2


def test_what_comes_back_is_every_row_once(cloud, tmp_path):
    """Answers, what was not sent, and what no line came for; by key where there is one."""
    files = bf.encode(DF, to=tmp_path / "out", model="fake/m", prompt="{text}", key="id")
    answered = tmp_path / "results.jsonl"
    answered.write_bytes(results(files[:1]))
    found = bf.decode(answered, model="fake/m", ids=tmp_path / "out" / "ids.parquet")
    assert found.select("row", "ok", "response", "error_code").rows() == [
        (0, True, "a", None),
        (1, False, None, "empty_prompt"),
        (2, True, 'say "c"', None),
        (3, False, None, "missing"),
    ]


def test_without_the_map_rows_are_counted_as_they_come(cloud, tmp_path):
    """For results of a batch that somebody else made; typed all the same."""

    class Word(BaseModel):
        word: str

    body = {"choices": [{"message": {"content": '{"word": "x"}'}, "finish_reason": "stop"}]}
    lines = [
        {"custom_id": f"q-{i}", "response": {"status_code": 200, "body": body}} for i in (5, 3)
    ]
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, [*lines, lines[0]])))
    found = bf.decode([path], model="fake/m", response_model=Word)
    assert found["custom_id"].to_list() == ["q-5", "q-3"]
    assert found["parsed"].struct["word"].to_list() == ["x", "x"]


def test_encoding_again_leaves_no_part_of_before(cloud, tmp_path):
    """A stale part would be sent with the others; files of others stay."""
    out = tmp_path / "out"
    assert len(DF.batch.encode(out, model="fake/m", prompt="{text}")) == 2
    (out / "mine.jsonl").write_text("{}")
    assert len(DF.head(1).batch.encode(out, model="fake/m", prompt="{text}")) == 1
    assert sorted(path.name for path in out.iterdir()) == [
        "fake-0000.jsonl",
        "ids.parquet",
        "mine.jsonl",
    ]


def test_the_command_line_translates_there_and_back(cloud, tmp_path, capsys):
    """Ids of any form survive; the results are OpenAI's."""
    names = ["row|7|p1 — ü/", "b", "h-already"]
    source = tmp_path / "in.jsonl"
    turn = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    lines = [
        {"custom_id": n, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "other", **turn}}
        for n in names
    ]  # fmt: skip
    source.write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
    out = tmp_path / "out"
    code, said, told = run(capsys, "encode", source, "--model", "fake/m", "--out", out)
    assert code == 0, told
    files = said.split()
    assert [Path(file).name for file in files] == ["fake-0000.jsonl", "fake-0001.jsonl"]
    first = orjson.loads(Path(files[0]).read_bytes().splitlines()[0])
    assert first["body"] == {"model": "m", **turn}
    assert first["custom_id"].isascii()

    answered = tmp_path / "r.jsonl"
    answered.write_bytes(results(files))
    back = tmp_path / "results.jsonl"
    words = ("decode", answered, "--model", "fake/m", "--ids", out / "ids.parquet", "--out", back)
    assert run(capsys, *words)[0] == 0
    found = [json.loads(line) for line in back.read_text().splitlines()]
    assert [line["custom_id"] for line in found] == names
    assert {line["response"]["body"]["choices"][0]["message"]["content"] for line in found} == {
        "hi"
    }
    assert all(line["error"] is None for line in found)
    assert run(capsys, *words) == (
        2,
        "",
        f"batchframe: {back} is there already. Type --force to replace it.\n",
    )
    assert run(capsys, *words, "--force")[0] == 0


def test_an_error_line_keeps_its_code(cloud, tmp_path, capsys):
    """And the command says that rows failed."""
    raw = {
        "custom_id": "b",
        "response": None,
        "error": {"code": "batch_expired", "message": "late"},
    }
    path = tmp_path / "r.jsonl"
    path.write_bytes(orjson.dumps(raw))
    code, said, told = run(capsys, "decode", path, "--model", "fake/m", "--out", "-")
    assert (code, told) == (3, "batchframe: 1 results, 1 of them errors\n")
    assert json.loads(said)["error"] == {"code": "batch_expired", "message": "late"}


GOOD = '{"custom_id": "a", "url": "/v1/chat/completions", "body": {"messages": []}}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "{path} holds no request."),
        ("{", "Line 1 of {path} is no JSON: unexpected end of data: line 1 column 2 (char 1)."),
        (f"{GOOD}\n[1]", 'Line 2 of {path} is no request: it needs "custom_id" (text) and "body" (an object), as in {{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {{...}}}}.'),
        (f"{GOOD}\n{GOOD}", "{path} has the custom_id 'a' more than once: in lines 1 and 2."),
        (GOOD + "\n" + GOOD.replace("chat/completions", "embeddings").replace('"a"', '"b"'), "{path} mixes endpoints: /v1/chat/completions at its beginning and /v1/embeddings in line 2. A batch has one; split the file."),
        (GOOD.replace("chat/completions", "videos"), "{path} asks '/v1/videos', which batchframe does not know. It knows /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/moderations."),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(cloud, tmp_path, capsys, lines, message):
    """With the line that is at fault; nothing is written."""
    path = tmp_path / "in.jsonl"
    path.write_text(lines)
    code, _, told = run(capsys, "encode", path, "--model", "fake/m", "--out", tmp_path / "out")
    assert (code, told) == (2, f"batchframe: {message.format(path=path)}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: bf.decode([], model="fake/m"), "decode() needs at least one result file."),
        (lambda p: bf.decode(p / "no.jsonl", model="fake/m"), "There is no file {p}/no.jsonl."),
        (lambda p: bf.decode(p / "odd", model="fake/m"), "No line of {p}/odd is a result in the words of openai. Give the files that the provider returned, and the model that was asked."),
        (lambda p: bf.decode(p / "odd", model="fake/m", ids=p / "odd"), "The id map {p}/odd cannot be read (ComputeError). It is the file ids.parquet that encode() wrote beside the provider's files."),
        (lambda p: DF.batch.encode(" ", model="fake/m", prompt="x"), "to=' ': it is a folder, as in to='batch-files'."),
    ],
    ids=["nothing", "no file", "another file", "no map", "no folder"],
)  # fmt: skip
def test_wrong_calls_are_refused(cloud, tmp_path, call, message):
    """Before anything is written."""
    (tmp_path / "odd").write_text("odd\n")
    with pytest.raises(errors.InputError) as told:
        call(tmp_path)
    assert str(told.value) == message.format(p=tmp_path)
