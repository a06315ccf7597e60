"""Requests in a file are held to what `submit` holds its arguments to, and come out as they went in."""

from __future__ import annotations

from pathlib import Path

import orjson
import polars as pl
import pytest

import batchframe as bf
from batchframe import cli, errors
from batchframe.frame import exact
from batchframe.orchestration import idmap


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """Keys that are none: nothing is sent."""
    for vendor in ("OPENAI", "MISTRAL", "GROQ", "TOGETHER"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "no-key-at-all")


@pytest.fixture
def encode(tmp_path, capsys):
    """Encode bodies with ids a, b, ...; gives the exit code, what was said, the lines, the errors."""

    def encoding(*bodies, model="openai/gpt-4.1-mini", words=(), line=None, raw=None):
        lines = [
            {"custom_id": chr(97 + i), "method": "POST", "url": "/v1/chat/completions", "body": body,
             **(line or {})}
            for i, body in enumerate(bodies)
        ]  # fmt: skip
        source, out = tmp_path / "in.jsonl", tmp_path / "out"
        source.write_bytes(raw or b"\n".join(map(orjson.dumps, lines)))
        code = cli.main(["encode", str(source), "--model", model, "--out", str(out), *words])
        told = capsys.readouterr()
        written = [row for file in told.out.split() for row in Path(file).read_bytes().splitlines()]
        ids = out / idmap.IDS
        why = pl.read_parquet(ids)["error"].to_list() if ids.exists() else []
        return code, told.err, written, why

    return encoding


def asked(**more):
    return {"model": "x", "messages": [{"role": "user", "content": "Hi."}], **more}


@pytest.mark.parametrize(
    ("body", "model", "error"),
    [
        (asked(stream=True), "openai/gpt-4.1-mini", "invalid_request: The parameter 'stream' was refused: a batch has no one to stream to; leave it out."),
        (asked(temprature=1), "openai/gpt-4.1-mini", "invalid_request: No parameter 'temprature' for /v1/chat/completions. Did you mean 'temperature'? A parameter only your server knows goes into --extra temprature."),
        (asked(temperature=9), "openai/gpt-4.1-mini", "invalid_request: The parameter temperature=9 was refused: it must be a number from 0 to 2."),
        (asked(temperature="hot"), "openai/gpt-4.1-mini", "invalid_request: The parameter temperature='hot' was refused: it must be a number from 0 to 2."),
        ({"model": "x"}, "openai/gpt-4.1-mini", "invalid_request: the body has no 'messages', so it asks nothing"),
        ({"messages": "Hi."}, "groq/m", "invalid_request: messages must be a list of objects"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "openai/gpt-4.1-mini", "invalid_request: messages[0].role must be 'developer', 'system', 'user', 'assistant', 'tool' or 'function', by the types of the openai package"),
        ({"messages": [{"role": "user", "content": " "}]}, "openai/gpt-4.1-mini", "empty_prompt: there is nothing but blanks to ask in this request"),
        (asked(service_tier="slow"), "openai/gpt-4.1-mini", "invalid_request: service_tier must be 'auto', 'default', 'flex', 'scale', 'priority' or 'fast', by the types of the openai package"),
        (asked(tools=[{"type": "function"}]), "openai/gpt-4.1-mini", "invalid_request: tools[0].function is missing, by the types of the openai package"),
        (asked(temperature=0), "openai/gpt-5-mini", "invalid_request: openai/gpt-5-mini takes no temperature=0: it is a reasoning model. Leave it out. To send it all the same: --extra temperature."),
        (asked(logprobs=True), "groq/m", "invalid_request: groq/m takes no logprobs=: none of its models supports it, and it answers 400. Leave it out. To send it all the same: --extra logprobs."),
        (asked(user="u"), "mistral/m", "invalid_request: mistral/m takes no user=: it answers 422 to names that it does not know. Leave it out. To send it all the same: --extra user."),
    ],
)  # fmt: skip
def test_what_a_provider_would_refuse_is_left_out_and_said(encode, body, model, error):
    """The row stands in the map with its reason, the others in the file; the exit code says so."""
    code, told, lines, why = encode(body, asked(), model=model)
    assert (code, why) == (3, [error, None])
    assert [orjson.loads(line)["custom_id"] for line in lines] == ["b"]
    assert f"custom_id 'a': {error}" in told
    assert told.endswith("1 requests in 1 file(s), 1 refused\n")


def test_another_method_than_post_is_refused(encode):
    """A batch can do nothing else."""
    code, _, lines, why = encode(asked(), line={"method": "GET"})
    assert (code, lines) == (3, [])
    assert why == ["invalid_request: the method is 'GET', and a batch can only POST"]


def test_one_request_at_fault_may_refuse_the_file(encode, tmp_path):
    """Then nothing is written at all."""
    code, told, lines, _ = encode(asked(), asked(n=2), words=["--on-invalid", "raise"])
    assert (code, lines) == (2, [])
    assert told.startswith(
        "batchframe: 1 row is at fault, so nothing was sent. To send the others: "
        "--on-invalid row_error.\n"
    )
    assert "row 1: invalid_request: The parameter n=2 was refused: it must be 1." in told
    assert not (tmp_path / "out").exists()


def test_what_only_the_provider_knows_is_let_pass_by_name(encode):
    """As `extra_body` lets it pass; a null leaves a parameter out."""
    words = ["--extra", "top_k", "--extra", "user"]
    code, _, lines, _ = encode(asked(top_k=4, user="u", seed=None), model="mistral/m", words=words)
    assert code == 0
    said = {"messages": asked()["messages"], "top_k": 4, "user": "u"}
    assert orjson.loads(lines[0])["body"] == said


def test_a_parameter_that_is_not_heeded_is_told_once(encode):
    """It is sent, as a submit sends it with a warning in its plan."""
    code, told, lines, _ = encode(
        asked(presence_penalty=1), asked(presence_penalty=2), model="groq/m"
    )
    assert (code, len(lines)) == (0, 2)
    assert told.count("presence_penalty= is sent, and none of its models heeds it") == 1


@pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "mistral/m"])
def test_numbers_travel_as_they_were_written(encode, model):
    """A whole number beyond 64 bits too, where the line is filled and where its names are changed."""
    raw = (
        b'{"custom_id":"a","body":{"messages":[{"role":"user","content":"x"}],'
        b'"seed":18446744073709551616,"temperature":1e-7}}'
    )
    code, told, lines, _ = encode(raw=raw, model=model)
    assert code == 0, told
    assert b'seed":18446744073709551616' in lines[0]
    assert orjson.loads(lines[0])["body"]["temperature"] == 1e-7


def test_json_of_long_numbers_is_read_and_written_exactly():
    """Where orjson would round, and where it would give up; what is no JSON is none here either."""
    deep = b"[" * 300 + b"12345678901234567890123" + b"]" * 300
    assert exact.dumps(exact.loads(deep)) == deep
    assert exact.loads(b'{"a":-0.5,"b":[1,2]}') == {"a": -0.5, "b": [1, 2]}
    for wrong in (b'{"a":NaN,"b":1234567890123456789012}', b"[" * 900 + b"1" * 30):
        with pytest.raises(ValueError, match=r"."):
            exact.loads(wrong)


def test_a_byte_order_mark_is_no_part_of_the_first_request(encode):
    """Windows editors put one there."""
    raw = b"\xef\xbb\xbf" + orjson.dumps({"custom_id": "a", "body": asked()}) + b"\r\n"
    code, told, lines, _ = encode(raw=raw)
    assert (code, len(lines)) == (0, 1), told


def test_pieces_of_a_file_make_no_difference(encode, monkeypatch):
    """Neither for the lines nor for ids that stand twice far apart."""
    bodies = [asked(seed=i, temperature=i) for i in range(7)]
    whole = encode(*bodies)
    monkeypatch.setattr("batchframe.frame.given.ROWS", 2)
    assert encode(*bodies) == whole
    assert [error is None for error in whole[3]] == [True] * 3 + [False] * 4
    lines = [{"custom_id": name, "body": asked()} for name in ("a", "b", "c", "b")]
    code, told, _, _ = encode(raw=b"\n\n".join(map(orjson.dumps, lines)))
    assert code == 2
    assert told.endswith("has the custom_id 'b' more than once: in lines 3 and 7.\n")


DF = pl.DataFrame({"text": ["a"]})
ASK = {"model": "openai/gpt-4.1-mini", "prompt": "{text}"}


def test_encode_replaces_only_what_it_wrote_itself(tmp_path):
    """A file of the same name that somebody else wrote, or changed, is refused and stays."""
    out = tmp_path / "out"
    (file,) = DF.batch.encode(out, **ASK)
    assert DF.batch.encode(out, **ASK) == [file]
    file.write_text("results that were saved under the same name")
    with pytest.raises(errors.FileError) as told:
        DF.batch.encode(out, **ASK)
    assert str(told.value) == (
        f"{file} is there already, and not as encode() wrote it. Nothing was written. Name another "
        "folder, or move the file away."
    )
    assert file.read_text() == "results that were saved under the same name"


def test_a_file_in_a_folder_without_a_map_is_not_overwritten(tmp_path):
    """Nobody knows whose it is."""
    (tmp_path / "openai-0000.jsonl").write_text("mine")
    with pytest.raises(errors.FileError, match="openai-0000.jsonl is there already"):
        DF.batch.encode(tmp_path, **ASK)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["openai-0000.jsonl"]


def test_a_map_that_names_other_files_deletes_none(tmp_path):
    """A map that encode did not write is somebody's own; one of encode's names its own files only."""
    precious = tmp_path / "precious.jsonl"
    precious.write_text("keep me")
    own = pl.DataFrame({"row": [0], "custom_id": ["r0"], "file": ["precious.jsonl"]})
    own.write_parquet(tmp_path / idmap.IDS)
    with pytest.raises(errors.FileError, match=r"ids.parquet is there already"):
        DF.batch.encode(tmp_path, **ASK)
    assert precious.read_text() == "keep me"
    own.write_parquet(tmp_path / idmap.IDS, metadata={"batchframe": '{"precious.jsonl":"0"}'})
    DF.batch.encode(tmp_path, **ASK)
    assert precious.read_text() == "keep me"


def test_an_encode_that_fails_leaves_the_earlier_one_whole(tmp_path):
    """The files of before are removed only once the new ones are staged."""
    (file,) = DF.batch.encode(tmp_path, **ASK)
    before = file.read_bytes()
    with pytest.raises(errors.InputError):
        bf.encode(DF, to=tmp_path, on_invalid="raise", temperature=pl.lit(9), **ASK)
    assert file.read_bytes() == before
