"""Wrong providers of other shapes than OpenAI's: a Mistral, a Fireworks and an xAI with one fault each."""

from __future__ import annotations

import secrets
from dataclasses import fields, replace

from batchframe.dialects import fireworks as fireworks_words
from batchframe.dialects import mistral as mistral_words
from batchframe.dialects import openai as openai_words
from batchframe.dialects import xai as xai_words
from batchframe.dialects.dialect import Dialect
from batchframe.model import Phase, Reply
from batchframe.providers.fireworks import Fireworks, FireworksProvider
from batchframe.providers.mistral import Mistral, MistralProvider
from batchframe.providers.rest import Rest
from batchframe.providers.xai import XAI, XAIProvider


def _made(kind, right, settings):
    """Make a provider of a class that does one thing otherwise."""
    made = right(**settings)
    return kind(**{one.name: getattr(made, one.name) for one in fields(made) if one.name[0] != "_"})


def unspoiled_mistral(**settings):
    return _made(MistralProvider, Mistral, settings)


def unspoiled_fireworks(**settings):
    return _made(FireworksProvider, Fireworks, settings)


def unspoiled_xai(**settings):
    return _made(XAIProvider, XAI, settings)


def _speaking(kind, words, **others):
    """Give a class with other words in its files."""
    spoken = replace(words.DIALECT, **others)
    return type(kind.__name__, (kind,), {"dialect": lambda _self, _endpoint: spoken})


def _simple_minded(made):
    """Let a provider judge refusals by status and code alone."""
    made.rest = Rest(made.rest.name, made.rest.base_url, made.rest.headers, made.rest.key_help)
    return made


# Mistral: the model on the job, names of its own, statuses of its own


def leaves_the_model_in_the_line(**settings):
    def line(custom_id, _endpoint, body):
        return {"custom_id": custom_id, "body": body}

    return _made(_speaking(MistralProvider, mistral_words, line=line), Mistral, settings)


def sends_seed_as_openai_does(**settings):
    def line(custom_id, endpoint, body):
        said = mistral_words.line(custom_id, endpoint, body)["body"]
        return {
            "custom_id": custom_id,
            "body": {("seed" if name == "random_seed" else name): said[name] for name in said},
        }

    return _made(_speaking(MistralProvider, mistral_words, line=line), Mistral, settings)


def invents_a_name(**settings):
    def line(custom_id, endpoint, body):
        said = mistral_words.line(custom_id, endpoint, body)["body"]
        return {
            "custom_id": custom_id,
            "body": {
                ("randomSeed" if name == "random_seed" else name): said[name] for name in said
            },
        }

    return _made(_speaking(MistralProvider, mistral_words, line=line), Mistral, settings)


def asks_another_model(**settings):
    class Other(MistralProvider):
        def create(self, part, ticket):
            return super().create(replace(part, model=replace(part.model, name="large")), ticket)

    return _made(Other, Mistral, settings)


def gives_failed_jobs_up(**settings):
    class Strict(MistralProvider):
        def fetch(self, ticket, folder):
            return [] if self._job(ticket)["status"] == "FAILED" else super().fetch(ticket, folder)

    return _made(Strict, Mistral, settings)


def takes_a_timeout_for_a_failure(**settings):
    class Hasty(MistralProvider):
        def _phase(self, job):
            late = str(job.get("status")).upper() == "TIMEOUT_EXCEEDED"
            return Phase.FAILED if late else super()._phase(job)

    return _made(Hasty, Mistral, settings)


def keeps_the_users_pairs_to_itself(**settings):
    class Silent(MistralProvider):
        def create(self, part, ticket):
            return super().create(replace(part, metadata={}), ticket)

    return _made(Silent, Mistral, settings)


# Fireworks: ids of our choice, datasets, deleting for cancelling


def makes_up_an_id_each_time(**settings):
    class Fickle(FireworksProvider):
        def create(self, part, ticket):
            return super().create(replace(part, key=f"{part.key}-{secrets.token_hex(3)}"), ticket)

    return _made(Fickle, Fireworks, settings)


def names_models_as_users_do(**settings):
    class Bare(FireworksProvider):
        def request_model(self, model):
            return model

    return _made(Bare, Fireworks, settings)


def overlooks_the_prefix_of_states(**settings):
    class Literal(FireworksProvider):
        def _phase(self, job):
            return super()._phase({**job, "state": f"X_{job.get('state')}"})

    return _made(Literal, Fireworks, settings)


def reads_the_first_file_only(**settings):
    class Half(FireworksProvider):
        def fetch(self, ticket, folder):
            return super().fetch(ticket, folder)[:1]

    return _made(Half, Fireworks, settings)


def takes_an_empty_purse_for_a_refusal(**settings):
    return _simple_minded(unspoiled_fireworks(**settings))


def believes_that_deleting_keeps(**settings):
    return unspoiled_fireworks(**settings)  # it is right, and its class declares what it has not


def takes_half_a_wrapper_for_an_answer(**settings):
    def decode(line):
        reply = fireworks_words.decode(line)
        return replace(reply, error=None, text="") if reply.text is None else reply

    return _made(_speaking(FireworksProvider, fireworks_words, decode=decode), Fireworks, settings)


# xAI: counters, pages, bare sentences, a price of its own


def believes_counters_at_once(**settings):
    return unspoiled_xai(**{**settings, "settle_seconds": 0})


class _OnePage(XAIProvider):
    only = "/"

    def _pages(self, path, size, doing, token=None):
        for page in super()._pages(path, size, doing, token):
            yield page
            if path.endswith(self.only):
                return


def reads_one_page_of_results(**settings):
    return _made(type("First", (_OnePage,), {"only": "/results"}), XAI, settings)


def reads_one_page_of_the_list(**settings):
    return _made(type("First", (_OnePage,), {"only": "/batches"}), XAI, settings)


def prices_by_the_list(**settings):
    def decode(line):
        return replace(xai_words.decode(line), cost=None)

    return _made(_speaking(XAIProvider, xai_words, decode=decode), XAI, settings)


def leaves_thoughts_out(**settings):
    def decode(line):
        reply = xai_words.decode(line)
        usage = reply.usage
        return replace(
            reply, usage=replace(usage, output=(usage.output or 0) - (usage.reasoning or 0))
        )

    return _made(_speaking(XAIProvider, xai_words, decode=decode), XAI, settings)


def takes_no_counters_for_the_end(**settings):
    class Blunt(XAIProvider):
        def _phase(self, batch, counts, ticket):
            found = super()._phase(batch, counts, ticket)
            return Phase.ENDED if counts.pending is None else found

    return _made(Blunt, XAI, settings)


def wonders_at_each_look(**settings):
    class Talkative(XAIProvider):
        def poll(self, ticket):
            self._odd.clear()
            return super().poll(ticket)

    return _made(Talkative, XAI, settings)


def takes_a_wrong_key_for_a_refusal(**settings):
    return _simple_minded(unspoiled_xai(**settings))


def takes_an_empty_response_for_an_answer(**settings):
    def decode(line):
        reply = xai_words.decode(line)
        return replace(reply, error=None, text="") if "response" in line["batch_result"] else reply

    return _made(_speaking(XAIProvider, xai_words, decode=decode), XAI, settings)


def reads_ids_where_openai_has_them(**settings):
    def decode(line):
        named = {**line, "custom_id": line.get("id")}
        return xai_words.decode(named) if line.get("id") else Reply("")

    return _made(_speaking(XAIProvider, xai_words, decode=decode), XAI, settings)


def names_all_batches_alike(**settings):
    class Nameless(XAIProvider):
        def upload(self, part, file):
            return super().upload(replace(part, key="batchframe"), file)

        def create(self, part, ticket):
            return super().create(replace(part, key="batchframe"), ticket)

        def find(self, part, ticket):
            return super().find(replace(part, key="batchframe"), ticket)

    return _made(Nameless, XAI, settings)


def forgets_results_quietly(**settings):
    class Lenient(XAIProvider):
        def fetch(self, ticket, folder):
            return [*super().fetch(ticket, folder)]

    return _made(Lenient, XAI, settings)


def speaks_openai(**settings):
    """Lines of a shape that is another provider's."""
    words = Dialect("openai", openai_words.line, mistral_words.decode)
    kind = type("Foreign", (MistralProvider,), {"dialect": lambda _self, _endpoint: words})
    return _made(kind, Mistral, settings)
