"""The Azure cloud: both surfaces, both keys, files that ripen, quotas, and objects as the docs show them."""

from __future__ import annotations

import openai
import pytest
from cloudkit import calling, create, jsonl, line, polled, rows, upload

from batchframe.testing import clouds

V1 = "/openai/v1"
EXPIRES = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "1209600"}


def ready(client, lines, base=V1, **fields):
    """Upload and wait until the file is processed."""
    file_id = upload(client, lines, base, **fields).json()["id"]
    assert client.get(f"{base}/files/{file_id}").json()["status"] == "processed"
    return file_id


def deployed(number=0, **more):
    return line(number, model="my-deployment", **more)


def test_a_file_must_be_processed_before_a_batch_is_made_of_it():
    """Pending at first; a create is refused until a look at the file finds it processed."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        file = upload(client, [deployed()], V1).json()
        assert file["status"] == "pending"
        assert create(client, file["id"], V1).status_code == 400
        assert cloud.batches() == []
        assert client.get(f"{V1}/files/{file['id']}").json()["status"] == "processed"
        assert create(client, file["id"], V1).status_code == 200


def test_objects_have_azures_oddities():
    """Empty ids while validating; then no endpoint, an empty error file, rows without an id."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        made = create(client, ready(client, [deployed(n) for n in range(3)]), V1).json()
        assert (made["output_file_id"], made["error_file_id"]) == ("", "")
        assert not {"model", "usage"} & set(made)
        batch = polled(client, made["id"], V1)
        assert (batch["status"], batch["endpoint"]) == ("completed", None)
        assert client.get(f"{V1}/files/{batch['error_file_id']}/content").content == b""
        row = rows(client, batch["output_file_id"], V1)[0]
        assert set(row) == {"custom_id", "response", "error"}
        body = row["response"]["body"]
        assert body["choices"][0]["content_filter_results"]["hate"] == {
            "filtered": False,
            "severity": "safe",
        }
        assert body["prompt_filter_results"][0]["prompt_index"] == 0


def test_the_legacy_surface_wants_a_version_and_writes_dates():
    """Without `api-version` nothing is found; a young batch is "Validating" with ISO dates."""
    with (
        clouds.azure(surface="legacy") as cloud,
        calling(cloud, **{"api-key": cloud.key}) as client,
    ):
        assert client.get("/openai/batches").status_code == 404
        assert client.get("/openai/v1/batches").status_code == 404
        client.params = {"api-version": "2024-10-21"}
        made = create(client, ready(client, [deployed()], "/openai"), "/openai").json()
        assert made["status"] == "Validating"
        assert made["created_at"].endswith(".0000000+00:00")
        assert made["request_counts"] == {"total": None, "completed": None, "failed": None}
        assert polled(client, made["id"], "/openai")["status"] == "completed"


@pytest.mark.parametrize("surface", ["v1", "legacy"])
def test_the_whole_way_through_openais_sdk(surface, monkeypatch):
    """`AzureOpenAI` on the legacy surface, `OpenAI` on v1."""
    with clouds.azure(surface=surface) as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        made = (
            openai.AzureOpenAI(max_retries=0)
            if surface == "legacy"
            else openai.OpenAI(base_url=f"{cloud.url}/openai/v1", api_key=cloud.key, max_retries=0)
        )
        with made as sdk:
            expires = {"expires_after": {"seconds": 1_209_600, "anchor": "created_at"}}
            data = jsonl([deployed(n) for n in range(2)])
            file = sdk.files.create(file=("a.jsonl", data), purpose="batch", extra_body=expires)
            assert file.expires_at - file.created_at == 1_209_600
            with pytest.raises(openai.BadRequestError):
                sdk.batches.create(
                    input_file_id=file.id, endpoint="/chat/completions", completion_window="24h"
                )
            assert sdk.files.retrieve(file.id).status == "processed"
            batch = sdk.batches.create(
                input_file_id=file.id, endpoint="/chat/completions", completion_window="24h"
            )
            for _ in range(3):
                batch = sdk.batches.retrieve(batch.id)
            assert batch.status == "completed"
            assert len(sdk.files.content(batch.output_file_id).text.splitlines()) == 2


def test_key_and_token_are_taken_and_nothing_else():
    """The key by either header, the token as a bearer only."""
    with clouds.azure() as cloud:
        good = [
            {"api-key": cloud.key},
            {"authorization": f"Bearer {cloud.key}"},
            {"authorization": f"Bearer {cloud.token}"},
        ]
        bad = [
            {"api-key": cloud.token},
            {"api-key": "x"},
            {"authorization": "Bearer x"},
            {"a": "b"},
        ]
        found = []
        for headers in [*good, *bad]:
            with calling(cloud, **headers) as client:
                found.append(client.get(f"{V1}/batches").status_code)
        assert found == [200, 200, 200, 401, 401, 401, 401]


def test_one_file_too_many_is_refused_in_azures_words():
    """Files without expiry have a smaller quota; the switch refuses at once."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        cloud.file_quota = (1, 2)
        assert upload(client, [deployed()], V1).status_code == 200
        answer = upload(client, [deployed()], V1)
        assert (answer.status_code, answer.json()) == (
            400,
            {
                "error": {
                    "code": "quotaExceeded",
                    "message": "The quota for files without expiry is reached. The maximum is 1.",
                }
            },
        )
        assert upload(client, [deployed()], V1, **EXPIRES).status_code == 200
        cloud.faults.file_quota = True
        assert upload(client, [deployed()], V1, **EXPIRES).status_code == 400


@pytest.mark.parametrize(
    ("seconds", "status"), [(1_209_599, 400), (1_209_600, 200), (2_592_001, 400)]
)
def test_files_expire_between_14_and_30_days(seconds, status):
    """Narrower than OpenAI."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(seconds)}
        assert upload(client, [deployed()], V1, **fields).status_code == status


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([deployed(0), line(1, model="other")], "model_mismatch"),
        ([deployed(0), deployed(1, url="/chat/completions")], "url_mismatch"),
        ([deployed(0), deployed(0)], "duplicate_custom_id"),
        ([], "empty_file"),
        ([b"\xef\xbb\xbf" + jsonl([deployed()]).strip()], "invalid_request"),
    ],
)
def test_problems_have_azures_codes_and_failed_batches_may_carry_files(lines, code):
    """Two names differ from OpenAI's; a byte order mark is not borne."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        batch = polled(client, create(client, ready(client, lines), V1).json()["id"], V1)
        assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", code)
        assert batch["output_file_id"]
        assert batch["error_file_id"]


def test_a_full_queue_fails_a_batch_without_files():
    """Unlike a bad line."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        cloud.faults.queue_full_after_create = 1
        batch = polled(client, create(client, ready(client, [deployed()]), V1).json()["id"], V1)
        assert batch["errors"]["data"][0]["code"] == "token_limit_exceeded"
        assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)


def test_resets_are_plain_seconds():
    """Where OpenAI says "2s"."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        cloud.faults.rate_limit["list"], cloud.faults.rate_limit_dialect = 1, "reset"
        cloud.faults.rate_limit_seconds = 2
        answer = client.get(f"{V1}/batches")
        assert answer.headers["x-ratelimit-reset-requests"] == "2"
        assert set(answer.json()["error"]) == {"code", "message"}


def test_a_filtered_row_is_a_row_of_status_400():
    """In the error file, with the code that says why."""
    with clouds.azure() as cloud, calling(cloud, **{"api-key": cloud.key}) as client:
        cloud.answer = lambda _body: {"error": {"code": "content_filter", "message": "filtered"}}
        batch = polled(client, create(client, ready(client, [deployed()]), V1).json()["id"], V1)
        (row,) = rows(client, batch["error_file_id"], V1)
        assert row["response"]["status_code"] == 400
        assert row["response"]["body"]["error"]["code"] == "content_filter"
