"""Promise 10: what goes wrong is told by the right class, with provider, job and next step, and without secrets."""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from batchframe.errors import (
    AuthenticationError,
    JobFailedError,
    ProviderError,
    ProviderUnavailableError,
    QuotaError,
)
from batchframe.model import Brought, Phase
from batchframe.testing.contract.setting import SECONDS, TEXTS, Stage
from batchframe.testing.fake import echo

if TYPE_CHECKING:
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud

PATIENCE = 7.0
"""Seconds that a 429 asks for; nobody sleeps them here."""

PASSING: dict[str, dict[str, Any]] = {
    "500": {"fault": "server_error", "server_status": 500},
    "502": {"fault": "server_error", "server_status": 502},
    "503": {"fault": "server_error", "server_status": 503},
    "504": {"fault": "server_error", "server_status": 504},
    "520 page": {"fault": "html", "html_status": 520},
    "lost before": {"fault": "drop_before"},
    "lost after": {"fault": "drop_after"},
}
"""What passes by itself: the fault by call, and its settings."""

STOPPING: dict[str, tuple[str, type[ProviderError]]] = {
    "a wrong key": ("unauthorized", AuthenticationError),
    "a key without the right": ("forbidden", AuthenticationError),
    "an empty purse": ("quota_gone", QuotaError),
    "a server that is down": ("server_error", ProviderUnavailableError),
    "a page of Cloudflare": ("html", ProviderUnavailableError),
    "a rate limit without end": ("rate_limit", ProviderUnavailableError),
}
"""What stops a job: the fault, and what is raised."""

QUOTING: dict[str, dict[str, Any]] = {
    "a row": {},
    "a batch": {"fail_after_create": 1},
    "the upload": {"unauthorized": {"upload": 1000, "dataset": 1000}},
    "the create": {"unauthorized": {"create": 1000}},
    "a look": {"forbidden": {"get": 1000}},
    "the download": {"unauthorized": {"content": 1000, "results": 1000}},
    "a request sent at once": {},
    "all requests sent at once": {"unauthorized": {"sync": 1000}},
}
"""Where a server quotes the key: the faults that make it refuse something there."""

LEAST_PAUSE = 0.01


def _stumbles(body: dict[str, Any]) -> Any:
    """Refuse the row whose text is "plain"; the others are answered."""
    text = echo(body)
    return {"error": {"message": "not this one", "code": "bad"}} if text == TEXTS[0] else text


class Failures(Stage):
    """Failures are told in words that help."""

    @pytest.mark.parametrize("what", PASSING)
    def test_what_passes_by_itself_is_waited_out(
        self,
        cloud: Cloud,
        provider: BatchProvider,
        pauses: list[float],
        tmp_path: Path,
        what: str,
    ) -> None:
        """Steps that may be repeated are: upload, poll and fetch each stumble once."""
        settings = dict(PASSING[what])
        calls = getattr(cloud.faults, settings.pop("fault"))
        for name, value in settings.items():
            setattr(cloud.faults, name, value)
        calls.update(upload=1, dataset=1)
        _, ticket = self.begun(provider, tmp_path)
        calls.update(get=1)
        while provider.poll(ticket).phase in (Phase.WAITING, Phase.RUNNING):
            continue
        calls.update(content=1, results=1)
        got = provider.fetch(ticket, tmp_path)
        assert sum(len(file.read_bytes().splitlines()) for file in got) == len(TEXTS)
        assert len(pauses) >= len(got), "it was asked again without a pause"
        assert all(pause >= LEAST_PAUSE for pause in pauses)

    @pytest.mark.parametrize("dialect", ["retry-after", "date", "retry-after-ms", "reset", "none"])
    def test_a_rate_limit_is_obeyed_in_each_of_its_dialects(
        self,
        cloud: Cloud,
        provider: BatchProvider,
        pauses: list[float],
        tmp_path: Path,
        dialect: Any,
    ) -> None:
        """Even at the create, since nothing was done there; as long as it says, and one batch comes of it."""
        cloud.faults.rate_limit_dialect, cloud.faults.rate_limit_seconds = dialect, PATIENCE
        cloud.faults.rate_limit.update(create=1)
        self.begun(provider, tmp_path)
        assert len(cloud.batches()) == 1
        assert pauses
        least = LEAST_PAUSE if dialect == "none" else PATIENCE - 1.5  # dates are whole seconds
        assert least <= max(pauses) <= PATIENCE + 1

    @pytest.mark.usefixtures("pauses")
    def test_a_create_that_may_have_happened_is_not_repeated_blindly(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """A 5xx says nothing about what was done: the job stops, and the same call looks before it acts."""
        cloud.faults.server_error["create"] = 1
        failure = self.stopped(self.ask(provider))
        assert isinstance(failure.__cause__, ProviderUnavailableError)
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    @pytest.mark.parametrize("what", STOPPING)
    @pytest.mark.usefixtures("pauses")
    def test_what_does_not_pass_is_told_by_its_class_whatever_is_done(
        self,
        cloud: Cloud,
        provider: BatchProvider,
        tmp_path: Path,
        what: str,
    ) -> None:
        """Upload, create, poll and fetch: the class says what kind of trouble it is, the words who and what."""
        fault, kind = STOPPING[what]
        calls = getattr(cloud.faults, fault)
        part, ticket = self.begun(provider, tmp_path)
        while provider.poll(ticket).phase in (Phase.WAITING, Phase.RUNNING):
            continue
        file = self.wire(provider, tmp_path, TEXTS)
        before = provider.upload(part, file)
        target = tmp_path / "results"
        target.mkdir()
        steps: dict[str, Callable[[], object]] = {
            "upload": lambda: provider.upload(part, file),
            "create": lambda: provider.create(part, before),
            "poll": lambda: provider.poll(ticket),
            "fetch": lambda: provider.fetch(ticket, target),
        }
        calls["*"] = 1000
        for step, act in steps.items():
            with pytest.raises(kind) as caught:
                act()
            words = str(caught.value)
            assert f"{provider.name} could not" in words, f"{step}: which provider?"
            assert "<" not in words, f"{step}: pages are not for people"
            assert cloud.key not in "".join(traceback.format_exception(caught.value)), step
        assert len(cloud.batches()) == 1

    def test_a_job_that_was_stopped_says_what_to_type_and_goes_on(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Provider, job and next step stand in its words; the same call goes on when it is over."""
        cloud.faults.quota_gone["create"] = 1
        job = self.ask(provider)
        failure = self.stopped(job)
        assert isinstance(failure.__cause__, QuotaError), repr(failure.__cause__)
        for wanted in (provider.name, job.id, f"bf.job('{job.id}').retry()"):
            assert wanted in str(failure)
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    @pytest.mark.usefixtures("pauses")
    def test_a_wrong_key_is_told_by_the_provider_itself(self, cloud: Cloud) -> None:
        """Not a fault that is switched on: a key that is not the cloud's, and where a new one goes."""
        from batchframe.providers.registry import registered  # noqa: PLC0415

        wrong = "sk-proj-wrong000000000000000"
        with registered(self.made(cloud, api_key=wrong)) as provider:
            job = self.ask(provider)  # type: ignore[arg-type]  # what was registered is what comes back
            failure = self.stopped(job)
            self.close(provider)
        assert isinstance(failure.__cause__, AuthenticationError)
        assert not cloud.batches()
        told = "".join(traceback.format_exception(failure))
        assert wrong not in told
        assert "API_KEY" in told or "api_key" in told, "where does the right one go?"

    @pytest.mark.usefixtures("pauses")
    def test_secrets_and_prompts_are_nowhere_but_where_they_must_be(
        self,
        cloud: Cloud,
        provider: BatchProvider,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Not in messages, reprs, logs, the ledger or any file, though the server quotes the key."""
        secret, prompt = cloud.key, "my private diary"
        cloud.faults.unauthorized.update(create=1)
        with caplog.at_level(logging.DEBUG):
            job = self.ask(provider, (prompt, *TEXTS))
            failure = self.stopped(job)
            self.settled(self.ask(provider, (prompt, *TEXTS)))
        told = "".join(traceback.format_exception(failure))
        seen = {
            "messages": told,
            "logs": caplog.text,
            "reprs": f"{provider!r} {job!r} {job.view!r}",
        }
        for where, text in seen.items():
            assert secret not in text, f"the key stands in {where}"
        for where in ("messages", "logs"):
            assert prompt not in seen[where], f"a prompt stands in {where}"
        home = tmp_path / "workspace"
        files = [file for file in home.rglob("*") if file.is_file()]
        assert files
        assert not [file.name for file in files if secret.encode() in file.read_bytes()]

    @pytest.mark.parametrize("where", QUOTING)
    @pytest.mark.usefixtures("pauses")
    def test_a_key_that_looks_like_none_and_is_quoted_is_nowhere(
        self,
        cloud: Cloud,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        where: str,
    ) -> None:
        """In messages, codes, names of members and headers: no pattern finds it, so it must be known."""
        import batchframe as bf  # noqa: PLC0415 - verbs load late
        from batchframe.providers.registry import registered  # noqa: PLC0415

        secret = cloud.key = cloud.faults.quoted = f"Zq7HexKeyOfNoPattern{secrets.token_hex(10)}"
        for fault, value in QUOTING[where].items():
            setattr(cloud.faults, fault, value)
        cloud.answer = _stumbles
        mode = "immediate" if "at once" in where else "batch"
        with registered(self.made(cloud)) as made, caplog.at_level(logging.DEBUG):
            provider = cast("BatchProvider", made)
            self.warm(provider)
            job = self.ask(provider, mode=mode)
            try:
                shown = [str(job.wait(SECONDS).result().to_dicts()), str(job.errors().to_dicts())]
                assert "***" in shown[0], "nothing was quoted, so this proves nothing"
            except JobFailedError as failure:
                shown = ["".join(traceback.format_exception(failure))]
                if mode == "batch":
                    shown.append(self._told_by(provider, tmp_path, where))
            shown += [str(job.outputs().to_dicts())] if job.status == "completed" else []
            shown += [repr(job), repr(job.view), str(job._repr_mimebundle_()), repr(made)]
            shown += [str(bf.jobs().to_dicts()), caplog.text, *capfd.readouterr()]
            self.close(provider)
        for text in shown:
            assert secret not in text, text[max(0, text.find(secret) - 200) :][:300]
        home = tmp_path / "workspace"
        files = [file for file in home.rglob("*") if file.is_file()]
        assert files
        assert not [file.name for file in files if secret.encode() in file.read_bytes()]

    def _told_by(self, provider: BatchProvider, folder: Path, where: str) -> str:
        """Give what the provider's own methods raise, before whoever drives the job looks at it."""
        target = folder / "direct"
        target.mkdir()
        try:
            _, ticket = self.begun(provider, folder)
            while (seen := provider.poll(ticket).phase) in (Phase.WAITING, Phase.RUNNING):
                continue
            provider.fetch(ticket, target)
        except ProviderError as error:
            return "".join(traceback.format_exception(error))
        raise AssertionError(f"nothing was refused, so this proves nothing: {where} {seen}")

    @pytest.mark.usefixtures("pauses")
    def test_a_result_file_that_is_gone_is_told(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """Providers keep results for a while only; nothing half is left behind."""
        target = tmp_path / "results"
        target.mkdir()
        _, ticket = self.begun(provider, tmp_path)
        while provider.poll(ticket).phase in (Phase.WAITING, Phase.RUNNING):
            continue
        cloud.forget_results()
        found = provider.fetch(ticket, target)
        assert not found
        assert isinstance(found, Brought)
        assert found.gone, "what is gone?"
        assert not [file.name for file in target.iterdir() if file.suffix == ".jsonl"]

    @pytest.mark.usefixtures("pauses")
    def test_rows_of_a_file_that_is_gone_say_so_and_lock_nothing_up(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """One refusal proves nothing; after many the rows are errors, and may be asked again."""
        cloud.faults.not_found[cloud.flavour.brings] = 100_000
        job = self.ask(provider)
        self.settled(job)
        seen = job.outputs()
        assert set(seen["error_code"]) == {"result_gone"}
        assert all(provider.name in words for words in seen["error_message"])
        cloud.faults.not_found.clear()
        assert self.answers(job.retry()) == list(TEXTS)
        assert len(cloud.batches()) == 2  # noqa: PLR2004 - the second one was asked for

    @pytest.mark.parametrize("call", ["get", "content", "results"])
    @pytest.mark.usefixtures("pauses")
    def test_one_answer_that_there_is_no_such_thing_proves_nothing(
        self, cloud: Cloud, provider: BatchProvider, call: str
    ) -> None:
        """Servers lag behind each other: a batch or file that was there is asked for again."""
        cloud.faults.not_found[call] = 1
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1
