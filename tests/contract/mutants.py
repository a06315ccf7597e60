"""Providers that are wrong on purpose, each in one way: what the contract must notice."""

from __future__ import annotations

import itertools
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from batchframe import redact
from batchframe.dialects import openai as words
from batchframe.dialects.dialect import Dialect
from batchframe.errors import ProviderError, QueueFullError
from batchframe.model import Limits, ModelRef, Phase, Progress, Ticket
from batchframe.providers.openai import OpenAI
from batchframe.providers.rest import Rest, _AgainError
from batchframe.providers.shaped import Shaped


def spoiled(kind=Shaped, **settings):
    """Make OpenAI's provider, of a class that does one thing otherwise."""
    made = OpenAI(**settings)
    return kind(
        **{name: getattr(made, name) for name in Shaped.__dataclass_fields__ if name[0] != "_"}
    )


def _speaking(line=words.line, decode=words.decode, **settings):
    """Make OpenAI's provider with other words in its files."""
    made = spoiled(**settings)
    spoken = Dialect("openai", line, decode)
    made.surface = replace(made.surface, dialects=dict.fromkeys(made.surface.dialects, spoken))
    return made


# promise 1


def changes_its_input(**settings):
    def line(custom_id, endpoint, body):
        given = words.line(custom_id, endpoint, dict(body))
        body.pop("seed", None)
        return given

    return _speaking(line, **settings)


def shortens_ids(**settings):
    def line(custom_id, endpoint, body):
        return words.line(custom_id[:3], endpoint, body)

    return _speaking(line, **settings)


# promise 2


def adds_to_the_line(**settings):
    def line(custom_id, endpoint, body):
        return {**words.line(custom_id, endpoint, body), "priority": 1}

    return _speaking(line, **settings)


def adds_to_the_body(**settings):
    def line(custom_id, endpoint, body):
        return words.line(custom_id, endpoint, {**body, "stream": False, "thinking": "hard"})

    return _speaking(line, **settings)


def uploads_something_else(**settings):
    class Other(Shaped):
        def upload(self, part, file):
            changed = file.with_suffix(".changed")
            changed.write_bytes(file.read_bytes().replace(b"0.5", b"0.50"))
            return super().upload(part, changed)

    return spoiled(Other, **settings)


# promise 3


def counts_lines_instead_of_reading_ids(**settings):
    numbers = itertools.count()

    def decode(line):
        return words.decode({**line, "custom_id": f"r{next(numbers)}"})

    return _speaking(decode=decode, **settings)


def reads_the_output_file_only(**settings):
    class Half(Shaped):
        def fetch(self, ticket, folder):
            return [file for file in super().fetch(ticket, folder) if "output" in file.name]

    return spoiled(Half, **settings)


def takes_refusals_for_answers(**settings):
    def decode(line):
        reply = words.decode(line)
        return reply if reply.error is None else replace(reply, error=None, text="")

    return _speaking(decode=decode, **settings)


def drops_partial_results(**settings):
    class Strict(Shaped):
        def fetch(self, ticket, folder):
            batch = self._get(f"/batches/{ticket.data['batch']}", "look")
            return super().fetch(ticket, folder) if batch["status"] == "completed" else []

    return spoiled(Strict, **settings)


class _Gullible(Rest):
    def download(self, path, target, doing, *, params=None, size=None):
        with self._kept() as client:
            answer = client.get(self._url(path), params=params, headers=self.headers())
        self._read(answer, doing) if answer.status_code >= 400 else target.write_bytes(
            answer.content
        )
        return target


def _uncounted(kind=Shaped, **settings):
    class Uncounted(kind):
        def poll(self, ticket):
            return replace(super().poll(ticket), owed=None)

    return spoiled(Uncounted, **settings)


def takes_whatever_comes(**settings):
    made = _uncounted(**settings)
    made.rest = _rest_of(made, _Gullible)
    return made


def believes_that_it_has_ended(**settings):
    return _uncounted(**settings)


def takes_every_refusal_for_the_end(**settings):
    class Rash(Shaped):
        def poll(self, ticket):
            try:
                return super().poll(ticket)
            except ProviderError as error:
                return Progress(Phase.FAILED, message=str(error))

        def fetch(self, ticket, folder):
            return []

    return spoiled(Rash, **settings)


def stops_for_a_file_that_is_gone(**settings):
    class Strict(Shaped):
        def fetch(self, ticket, folder):
            found = super().fetch(ticket, folder)
            if found.gone:
                raise ProviderError("a file is gone")
            return found

    return spoiled(Strict, **settings)


def keeps_the_unknown_to_itself(**settings):
    class Silent(Shaped):
        def poll(self, ticket):
            return replace(super().poll(ticket), unknown=None)

    return spoiled(Silent, patience={**settings.pop("patience"), "unknown": 0.01}, **settings)


# promise 4


def expects_the_newest_first(**settings):
    class Sure(Shaped):
        def _batches(self, since):
            for batch in super()._batches(since):
                if batch["created_at"] < since:
                    return
                yield batch

    return spoiled(Sure, **settings)


def keeps_the_older_twin(**settings):
    class Old(Shaped):
        def _twin(self, batch):
            return replace(super()._twin(batch), phase=Phase.RUNNING)

    return spoiled(Old, **settings)


def never_finds(**settings):
    class Blind(Shaped):
        def find(self, part, ticket):
            return None

    return spoiled(Blind, **settings)


def takes_any_batch_for_its_own(**settings):
    class Greedy(Shaped):
        def _is_ours(self, batch, part, data):
            return True

    return spoiled(Greedy, **settings)


class _Stubborn(Rest):
    def call(self, *args, once=False, **named):
        return super().call(*args, once=False, **named)


def creates_again_when_in_doubt(**settings):
    made = spoiled(**settings)
    made.rest = _rest_of(made, _Stubborn)
    return made


def _rest_of(made, kind):
    return kind(made.rest.name, made.rest.base_url, made.rest.headers, made.rest.key_help)


def keeps_what_is_no_json(**settings):
    class Odd(Shaped):
        def create(self, part, ticket):
            given = super().create(part, ticket)
            return Ticket(given.provider, {**given.data, "where": ("a", "tuple")})

    return spoiled(Odd, **settings)


class _Careless(Rest):
    def _pull(self, *args):
        with suppress(_AgainError):
            super()._pull(*args)


def takes_half_a_file_for_a_whole_one(**settings):
    made = _uncounted(**settings)
    made.rest = _rest_of(made, _Careless)
    return made


def asks_the_list_for_what_it_knows(**settings):
    class Forgetful(Shaped):
        def poll(self, ticket):
            if not any(batch["id"] == ticket.data["batch"] for batch in self._batches(0)):
                raise ProviderError(f"{self.name} could not look at the batch: it is not listed.")
            return super().poll(ticket)

    return spoiled(Forgetful, **settings)


# promise 5


def takes_unknown_statuses_for_failures(**settings):
    class Anxious(Shaped):
        def _phase(self, batch):
            found = super()._phase(batch)
            known = batch.get("status") == "validating"
            return Phase.FAILED if found is Phase.WAITING and not known else found

    return spoiled(Anxious, **settings)


def takes_expired_for_running(**settings):
    class Hopeful(Shaped):
        def _phase(self, batch):
            expired = str(batch.get("status")).lower() == "expired"
            return Phase.RUNNING if expired else super()._phase(batch)

    return spoiled(Hopeful, **settings)


def counts_nothing_as_nothing(**settings):
    class Zero(Shaped):
        def poll(self, ticket):
            return replace(super().poll(ticket), total=0, done=0)

    return spoiled(Zero, **settings)


# promise 6


def knows_wrong_limits(**settings):
    made = spoiled(**settings)
    made.limits = Limits(60_000, 300_000_000, "somebody said so", "2026-11-23")
    return made


def calls_every_end_good(**settings):
    class Rosy(Shaped):
        def poll(self, ticket):
            seen = super().poll(ticket)
            return replace(seen, phase=Phase.ENDED) if seen.phase is Phase.FAILED else seen

    return spoiled(Rosy, **settings)


def fails_when_the_queue_is_full(**settings):
    class Impatient(Shaped):
        def create(self, part, ticket):
            try:
                return super().create(part, ticket)
            except QueueFullError as error:
                raise ProviderError(str(error)) from None

    return spoiled(Impatient, **settings)


def takes_being_turned_away_for_failing(**settings):
    class Final(Shaped):
        def poll(self, ticket):
            seen = super().poll(ticket)
            return replace(seen, phase=Phase.FAILED) if seen.phase is Phase.REFUSED else seen

    return spoiled(Final, **settings)


# promise 7


def counts_thoughts_twice(**settings):
    def decode(line):
        reply = words.decode(line)
        usage = reply.usage
        return replace(
            reply, usage=replace(usage, output=(usage.output or 0) + (usage.reasoning or 0))
        )

    return _speaking(decode=decode, **settings)


@dataclass
class _Priced(Shaped):
    def listed(self, model):
        return ModelRef("openai", "gpt-4o-mini"), False


def prices_what_it_does_not_know(**settings):
    return spoiled(_Priced, **settings)


# promise 8


def drops_a_parameter(**settings):
    def line(custom_id, endpoint, body):
        return words.line(custom_id, endpoint, {k: v for k, v in body.items() if k != "seed"})

    return _speaking(line, **settings)


def answers_at_every_endpoint(**settings):
    return spoiled(**settings)  # it is right, and its class declares one endpoint only


def carries_no_metadata(**settings):
    made = spoiled(**settings)
    made.surface = replace(made.surface, metadata=False)
    return made


# promise 10


def calls_every_refusal_the_same(**settings):
    class Vague(Shaped):
        def create(self, part, ticket):
            try:
                return super().create(part, ticket)
            except ProviderError as error:
                raise ProviderError(str(error)) from None

    return spoiled(Vague, **settings)


class _Hasty(Rest):
    def _patiently(self, send, *, once):
        try:
            return send()
        except _AgainError as again:
            raise again.error from None


def gives_up_at_once(**settings):
    made = spoiled(**settings)
    made.rest = _rest_of(made, _Hasty)
    return made


def tells_its_key(**settings):
    class Chatty(Shaped):
        def create(self, part, ticket):
            try:
                return super().create(part, ticket)
            except ProviderError as error:
                raise type(error)(f"{error} Sent: {self.headers()}") from error

    return spoiled(Chatty, **settings)


class _Parrot(Rest):
    def _read(self, answer, doing):
        if not answer.is_success:
            raise ProviderError(f"{self.name} could not {doing}: {answer.text}")
        return super()._read(answer, doing)


def says_what_the_server_says(**settings):
    made = spoiled(**settings)
    made.rest = _rest_of(made, _Parrot)
    return made


class _Forgetful(Rest):
    def _credentials(self, doing):
        return dict(self.headers())


def keeps_its_key_to_itself(**settings):
    made = spoiled(**settings)
    made.rest = _rest_of(made, _Forgetful)
    redact._KNOWN.__init__()
    return made


def logs_its_key(**settings):
    class Loud(Shaped):
        def create(self, part, ticket):
            logging.getLogger("batchframe").info("sending %s", orjson.dumps(self.headers()))
            return super().create(part, ticket)

    return spoiled(Loud, **settings)


def saves_its_key(**settings):
    class Open(Shaped):
        def upload(self, part, file):
            given = super().upload(part, file)
            return Ticket(given.provider, {**given.data, "headers": dict(self.headers())})

    return spoiled(Open, **settings)


def leaves_files_behind(**settings):
    class Untidy(Shaped):
        def cleanup(self, ticket):
            return None

    return spoiled(Untidy, **settings)


def takes_a_missing_file_for_none(**settings):
    class Lenient(Shaped):
        def fetch(self, ticket, folder):
            return [*super().fetch(ticket, folder)]

    return spoiled(Lenient, **settings)


# what was said anew for providers of other shapes


def gives_failed_batches_up(**settings):
    class Strict(Shaped):
        def fetch(self, ticket, folder):
            batch = self._get(f"/batches/{ticket.data['batch']}", "look")
            return [] if batch["status"] == "failed" else super().fetch(ticket, folder)

    return spoiled(Strict, **settings)


def reads_the_first_page(**settings):
    class Hasty(Shaped):
        def _batches(self, since):
            found = self.rest.call("GET", "/batches", "list the batches")
            yield from found["data"]

    return spoiled(Hasty, **settings)


def carries_no_key(**settings):
    class Nameless(Shaped):
        def upload(self, part, file):
            return super().upload(replace(part, key="batchframe"), file)

        def create(self, part, ticket):
            return super().create(replace(part, key="batchframe", job_id="job"), ticket)

    return spoiled(Nameless, **settings)
