"""The stage of the contract: a workspace, a cloud, the provider before it, and the words of the tests."""

from __future__ import annotations

import importlib
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import orjson
import polars as pl
import pytest

from batchframe.errors import JobFailedError
from batchframe.model import Endpoint, ModelRef, Part, Ticket
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.contract.declared import Capabilities, Excuse

if TYPE_CHECKING:
    from batchframe.orchestration.job import Job
    from batchframe.providers.base import BatchProvider

TEXTS = ("plain", 'she said "no"\\', "naïve ☃ 🎈", "two\nlines", "a\ttab", "row 5")
"""What the rows say; the cloud answers each with itself."""

POLL_SECONDS = 0.01
PATIENCE = {"results": 0.2, "gone": 0.05, "absent": 0.05, "unknown": 60.0}
"""`bf.Patience`, as plain JSON: what takes a provider minutes takes milliseconds here."""

SECONDS = 60.0
"""How long a job of a test may take before it counts as hanging."""

Answers = Sequence[str | None]


class Stage:
    """What each test stands on; a provider's class sets the four names and gives a `cloud`.

    Attributes:
        capabilities: What the provider can do.
        factory: `module:function` that makes the provider out of `settings`.
        model: A model to ask for, without the provider's name.
        golden: The file of its golden wire lines.
        excused: Name of a test, with its parameters in brackets or without -> why it must fail.
    """

    capabilities: ClassVar[Capabilities]
    factory: ClassVar[str]
    model: ClassVar[str]
    golden: ClassVar[Path]
    excused: ClassVar[Mapping[str, Excuse]] = {}

    def __init_subclass__(cls) -> None:
        """Refuse an excuse for a test that does not exist: it would excuse nothing, for ever."""
        for name in cls.excused:
            if not hasattr(cls, name.partition("[")[0]):
                raise TypeError(f"{cls.__name__}.excused names {name}, and there is no such test")

    @pytest.fixture
    def cloud(self) -> Iterator[Cloud]:
        """Give the provider's fake cloud, up; each class has its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `cloud`")

    def settings(self, cloud: Cloud) -> dict[str, Any]:
        """Give what the factory is called with, as plain JSON: another process makes it again."""
        return {"api_key": cloud.key, "base_url": cloud.url}

    def made(self, cloud: Cloud, **others: Any) -> BatchProvider:
        """Make the provider."""
        module, _, name = self.factory.partition(":")
        usual = {"poll_seconds": POLL_SECONDS, "patience": PATIENCE}
        settings = {**usual, **self.settings(cloud), **others}
        return cast("BatchProvider", getattr(importlib.import_module(module), name)(**settings))

    @pytest.fixture
    def provider(self, cloud: Cloud) -> Iterator[BatchProvider]:
        """Give the provider, known to this process for the length of the test."""
        from batchframe.providers.registry import registered  # noqa: PLC0415 - verbs load late

        with registered(self.made(cloud)) as made:
            self.warm(made)
            yield cast("BatchProvider", made)
            self.close(made)

    @contextmanager
    def patient(self, cloud: Cloud, **patience: float) -> Iterator[BatchProvider]:
        """Give a provider with other patience; that for results is as long as a test may take."""
        from batchframe.providers.registry import registered  # noqa: PLC0415 - verbs load late

        given = {**PATIENCE, "results": SECONDS, **patience}
        with registered(self.made(cloud, patience=given)) as made:
            self.warm(made)
            yield cast("BatchProvider", made)
            self.close(made)

    def warm(self, provider: object) -> None:
        """Make a provider's client before threads do: two that race for it leave one open."""
        kept = getattr(getattr(provider, "rest", None), "_kept", None)
        if kept is not None:
            with kept():
                pass

    def close(self, provider: object) -> None:
        """Let go of a provider's connections; the library leaves that to the end of the process."""
        for client in getattr(getattr(provider, "rest", None), "_clients", {}).values():
            client.close()

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Let no pause between tries take real time; gives what would have been slept."""
        from batchframe.providers import rest  # noqa: PLC0415

        slept: list[float] = []
        clock = SimpleNamespace(sleep=slept.append, time=time.time, monotonic=time.monotonic)
        monkeypatch.setattr(rest, "time", clock)
        return slept

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from batchframe.ledger import workspace  # noqa: PLC0415

        monkeypatch.setattr(workspace, "_STACK", [])
        monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "workspace"))
        # all is plain HTTP on loopback; certificates that nobody looks at would take a third of the time
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)

    @pytest.fixture(autouse=True)
    def _excuse(self, request: pytest.FixtureRequest) -> None:
        name: str = request.node.name
        excuse = self.excused.get(name) or self.excused.get(name.partition("[")[0])
        if excuse is not None:
            request.applymarker(pytest.mark.xfail(reason=str(excuse), strict=True))

    def needs(self, capability: str) -> None:
        """Skip a test of what the provider says it cannot do."""
        if not getattr(self.capabilities, capability):
            pytest.skip(f"{type(self).__name__} declares {capability}=False")

    # the road: a frame, a job, its answers

    def ask(self, provider: BatchProvider, texts: Sequence[str] = TEXTS, **options: Any) -> Job:
        """Submit a frame of texts, as a user would."""
        import batchframe as bf  # noqa: PLC0415

        options = {"model": f"{provider.name}/{self.model}", "prompt": "{text}", **options}
        return bf.submit(pl.DataFrame({"text": list(texts)}), **options)

    def settled(self, job: Job) -> pl.DataFrame:
        """Wait for a job and give its rows: `text`, `response`, `error` and the rest."""
        return job.wait(SECONDS).result()

    def taken(self, job: Job) -> pl.DataFrame:
        """Wait for a job whose results fall short, and have it take what there is; gives its rows.

        Where the provider counts, the job stops once and says so; where it does not, nobody can know.
        """
        if self.capabilities.counts_while_running:
            told = str(self.stopped(job))
            assert " counts " in told, told
            assert f"bf.job('{job.id}').retry()" in told, told
            job.retry()
        return self.settled(job)

    def answers(self, job: Job) -> list[str | None]:
        """Wait for a job and give what was answered."""
        found: list[str | None] = self.settled(job)["response"].to_list()
        return found

    def stopped(self, job: Job) -> JobFailedError:
        """Wait for a job that something other than a row must stop, and give its failure."""
        with pytest.raises(JobFailedError) as caught:
            job.wait(SECONDS)
        return caught.value

    # the lifecycle itself, without a job around it

    def part(self, provider: BatchProvider, rows: int) -> Part:
        """Give a part as the driver gives it."""
        identity = "job-contract00"
        return Part(
            identity, 0, ModelRef(provider.name, self.model), Endpoint.CHAT, rows,
            key=f"{identity}-0-{secrets.token_hex(4)}", metadata={"team": "red"},
        )  # fmt: skip

    def wire(self, provider: BatchProvider, folder: Path, texts: Sequence[str]) -> Path:
        """Write the provider's file of some texts."""
        from batchframe.frame.encode import encode_line  # noqa: PLC0415

        words, file = provider.dialect(Endpoint.CHAT), folder / "wire.jsonl"
        bodies = [{"messages": [{"role": "user", "content": text}]} for text in texts]
        lines = [
            encode_line(f"r{n}", orjson.dumps(body).decode(), self.model, words, Endpoint.CHAT)
            for n, body in enumerate(bodies)
        ]
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return file

    def begun(
        self, provider: BatchProvider, folder: Path, texts: Sequence[str] = TEXTS
    ) -> tuple[Part, Ticket]:
        """Make a batch by the provider's own methods."""
        part = self.part(provider, len(texts))
        ticket = provider.upload(part, self.wire(provider, folder, texts))
        return part, provider.create(part, ticket)

    def before(self, ticket: Ticket) -> dict[str, Any]:
        """Give what a ticket said before there was a batch: what the ledger has after a crash."""
        return {name: value for name, value in ticket.data.items() if name not in ("batch", "job")}


def paid(cloud: Cloud) -> list[dict[str, Any]]:
    """Give the batches that would be on the bill: all but those that a full queue turned away."""
    return [batch for batch in cloud.batches() if batch["answered"] or batch["status"] != "failed"]


def calls(cloud: Cloud, method: str, end: str) -> int:
    """Count the calls of a method whose path ends so."""
    return sum(1 for how, path, _ in cloud.log if how == method and path.endswith(end))


def whole(rows: pl.DataFrame, texts: Sequence[str] = TEXTS) -> None:
    """See that each row is there once, in order, as its own answer or as an error, never as both."""
    assert rows["text"].to_list() == list(texts), "rows were lost, doubled or moved"
    for text, said, error in rows.select("text", "response", "error").iter_rows():
        assert (said is None) != (error is None), (
            f"{text!r} has both or neither: {said!r} {error!r}"
        )
        assert said in (None, text), f"{text!r} has the answer of another row: {said!r}"
