"""Result files keep every byte but our own credentials in lines that are no answers."""

from __future__ import annotations

import orjson
import pytest

import batchframe as bf
from batchframe import redact
from batchframe.dialects import openai
from batchframe.frame import scrub as scrubbing
from batchframe.frame.scrub import scrub
from batchframe.redact import remember
from batchframe.testing import registered

SECRET = "Zq7HexKeyOfNoKnownPattern0123456789abcdef"
ANSWER = (
    b'{"custom_id":"r0","response":{"status_code":200,"body":{"choices":[{"message":'
    b'{"content":"It is ' + SECRET.encode() + b'."}}]}}}\n'
)
REFUSAL = (
    b'{"custom_id": "r1",  "response": {"status_code": 401, "body": {"error": '
    b'{"message": "no: ' + SECRET.encode() + b'"}}}}\n'
)
DAMAGED = b'{"custom_id": "r2", "error": "' + SECRET.encode()


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """One credential is in use."""
    monkeypatch.setattr(redact, "_KNOWN", redact._Known())
    remember(SECRET)


def test_refusals_are_cleaned_and_answers_stay_as_they_are(tmp_path):
    """A user may well have asked about a key; what a server says about ours is not the user's."""
    file = tmp_path / "error.jsonl"
    file.write_bytes(ANSWER + REFUSAL + DAMAGED)
    assert scrub(file, openai.DIALECT)
    masked = [line.replace(SECRET.encode(), b"***") for line in (REFUSAL, DAMAGED)]
    assert file.read_bytes() == ANSWER + b"".join(masked)
    assert [found.name for found in tmp_path.iterdir()] == ["error.jsonl"]


def test_a_file_that_quotes_nothing_is_not_written_again(tmp_path):
    """Nor is one whose answers alone do."""
    file = tmp_path / "output.jsonl"
    for content in (b'{"custom_id":"r0"}\n', ANSWER):
        file.write_bytes(content)
        before = file.stat()
        assert not scrub(file, openai.DIALECT)
        assert (file.stat().st_ino, file.read_bytes()) == (before.st_ino, content)
        assert [found.name for found in tmp_path.iterdir()] == ["output.jsonl"]


@pytest.mark.parametrize("block", [len(SECRET), 100, 137, 4096])
def test_a_secret_across_two_blocks_is_found(tmp_path, monkeypatch, block):
    """Wherever they are parted."""
    monkeypatch.setattr(scrubbing, "BLOCK", block)
    file = tmp_path / "error.jsonl"
    for before in range(0, 120, 7):
        file.write_bytes(b" " * before + REFUSAL)
        assert scrub(file, openai.DIALECT), before
        assert SECRET.encode() not in file.read_bytes()


def test_no_word_of_a_failed_line_quotes_a_secret(tmp_path):
    """Not even those that are the provider's own: ids, models, reasons to stop, a refusal."""
    file = tmp_path / "error.jsonl"
    message = {"content": None, "refusal": f"not for {SECRET}"}
    lines = [
        {
            "id": f"batch-{SECRET}",
            "custom_id": "r0",
            "response": {
                "status_code": 200,
                "body": {
                    "model": f"m-{SECRET}",
                    "choices": [{"message": message, "finish_reason": f"stop-{SECRET}"}],
                },
            },
        },
        {"custom_id": "r1", "error": {"code": SECRET, "message": SECRET, SECRET: 1}},
    ]
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    with registered(bf.OpenAI(api_key=SECRET)):
        found = bf.decode(file, model="openai/m")
    assert found["error_code"].to_list() == ["refusal", "***"]
    assert found["error_message"].to_list() == ["not for ***", "***"]
    assert found["model"].to_list() == ["m-***", None]
    assert SECRET not in str(found.to_dicts())
