"""What the tests of the clouds share: a plain HTTP client, input lines, and the way through a batch."""

from __future__ import annotations

import json
from contextlib import contextmanager

import httpx2

CHAT = "/v1/chat/completions"


@contextmanager
def calling(cloud, **headers):
    """A client of a running cloud, with its key unless other headers are given."""
    headers = headers or {"authorization": f"Bearer {cloud.key}"}
    with httpx2.Client(base_url=cloud.root, headers=headers, timeout=20) as client:
        yield client


def line(number=0, url=CHAT, model="gpt-4o-mini", **body):
    """One line with an address, as OpenAI wants it."""
    given = {"model": model, "messages": [{"role": "user", "content": f"word {number}"}], **body}
    return {"custom_id": f"r-{number}", "method": "POST", "url": url, "body": given}


def bare(number=0, **body):
    """One line without an address."""
    given = {"messages": [{"role": "user", "content": f"word {number}"}], **body}
    return {"custom_id": f"r-{number}", "body": given}


def jsonl(lines):
    """Lines as a file; text and bytes stay as they are."""
    raw = [one if isinstance(one, (str, bytes)) else json.dumps(one) for one in lines]
    return b"".join((one.encode() if isinstance(one, str) else one) + b"\n" for one in raw)


def upload(client, lines, base="/v1", purpose="batch", **fields):
    """Upload a file; gives the answer."""
    data = lines if isinstance(lines, bytes) else jsonl(lines)
    form = {"purpose": purpose, **fields}
    return client.post(f"{base}/files", data=form, files={"file": ("in.jsonl", data)})


def create(client, file_id, base="/v1", endpoint=CHAT, **more):
    """Create a batch; gives the answer."""
    given = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h", **more}
    return client.post(f"{base}/batches", json=given)


def started(client, lines, base="/v1", **more):
    """Upload and create; gives the batch's id."""
    file_id = upload(client, lines, base).json()["id"]
    return create(client, file_id, base, **more).json()["id"]


def polled(client, batch_id, base="/v1", times=6):
    """Poll until a batch has ended, `times` times at most; gives its last state."""
    for _ in range(times):
        batch = client.get(f"{base}/batches/{batch_id}").json()
        if batch["status"] in ("completed", "failed", "expired", "cancelled"):
            break
    return batch


def rows(client, file_id, base="/v1"):
    """A result file's lines, parsed."""
    if not file_id:
        return []
    raw = client.get(f"{base}/files/{file_id}/content").content
    return [json.loads(one) for one in raw.splitlines()]


def parsed(data):
    """Lines of a downloaded file, parsed."""
    return [json.loads(one) for one in data.splitlines()]
