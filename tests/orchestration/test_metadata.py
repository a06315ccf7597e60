"""The user's metadata: as much as providers take beside ours, refused in words where it is more, never lost in silence."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"text": ["a"]})
FULL = {f"{n:064}": "é" * 512 for n in range(13)}
KINDS = {"openai": bf.OpenAI, "azure": bf.Azure, "groq": bf.Groq, "together": bf.Together}


def connected(cloud):
    url = {"endpoint" if cloud.flavour.name == "azure" else "base_url": cloud.url}
    return registered(KINDS[cloud.flavour.name](api_key=cloud.key, poll_seconds=0.01, **url))


@pytest.mark.parametrize("make", [clouds.openai, clouds.azure, clouds.groq])
def test_as_much_as_providers_take_travels_beside_ours(make):
    """At every limit at once: pairs, keys and values; the cloud counts them."""
    with make() as cloud, connected(cloud) as made:
        DF.batch.submit(model=f"{made.name}/m", prompt="{text}", metadata=FULL).wait()
        (batch,) = cloud.batches()
        made.rest._clients.popitem()[1].close()
    assert len(batch["metadata"]) == 16
    assert batch["metadata"].items() >= FULL.items()
    assert {"batchframe", "job", "part"} < set(batch["metadata"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict.fromkeys("abcdefghijklmn", "x"), "metadata= holds 14 pairs; at most 13: providers take 16, and three are batchframe's own. Leave some out, or put several into one text."),
        ({"k" * 65: "x"}, f"metadata['{'k' * 64}'] is too long: keys up to 64, values up to 512 characters."),
        ({"k": "x" * 513}, "metadata['k'] is too long: keys up to 64, values up to 512 characters."),
        ({"job": "x"}, "metadata['job'] is batchframe's own: it is how a batch is found again. Type: metadata={'my_job': ...}"),
        ({"part": "x"}, "metadata['part'] is batchframe's own: it is how a batch is found again. Type: metadata={'my_part': ...}"),
        ({"batchframe": "x"}, "metadata['batchframe'] is batchframe's own: it is how a batch is found again. Type: metadata={'my_batchframe': ...}"),
        ({"n": 3}, "metadata={'n': 3}: keys and values must be text."),
        ({3: "n"}, "metadata={3: 'n'}: keys and values must be text."),
    ],
)  # fmt: skip
def test_what_is_more_is_refused_before_anything_is_sent(given, message):
    """With the figure, and with what to type."""
    with clouds.openai() as cloud, connected(cloud):
        with pytest.raises(errors.InputError) as told:
            DF.batch.submit(model="openai/m", prompt="{text}", metadata=given)
        assert cloud.log == []
    assert str(told.value) == message


def test_a_provider_without_metadata_is_warned_about_and_the_job_keeps_it():
    """Together's batches have no place for it; whoever is strict is refused."""
    told = "batches at together carry no metadata: metadata= stays with the job"
    call = {"model": "together/m", "prompt": "{text}", "metadata": {"team": "red"}}
    with clouds.together() as cloud, connected(cloud) as made:
        assert DF.batch.plan(**call).warnings == (told,)
        assert DF.batch.plan(**{**call, "metadata": None}).warnings == ()
        assert DF.batch.plan(**call, mode="immediate").warnings == ()
        with pytest.raises(errors.InputError, match="carry no metadata"):
            DF.batch.submit(**call, strict=True)
        job = DF.batch.submit(**call).wait()
        assert not cloud.batches()[0]["metadata"]
        assert bf.workspace().store.job(job.id)["metadata"] == {"team": "red"}
        made.rest._clients.popitem()[1].close()


@pytest.mark.parametrize("make", [clouds.openai, clouds.azure, clouds.groq])
def test_a_provider_with_metadata_has_no_such_warning(make):
    """It travels."""
    with make() as cloud, connected(cloud) as made:
        plan = DF.batch.plan(model=f"{made.name}/m", prompt="{text}", metadata={"team": "red"})
        assert plan.warnings == ()
