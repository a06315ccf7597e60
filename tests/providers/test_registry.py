"""Names before and after the slash: what is meant by one that nobody knows."""

from __future__ import annotations

import pytest

from batchframe.errors import UnknownNameError
from batchframe.model import ModelRef
from batchframe.providers.local import Local
from batchframe.providers.registry import answer_tokens, model_ref
from batchframe.testing import Echo, Fake, registered

START = "A model is written provider/model, for example 'local/smollm2'; got "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smollm2", f"{START}'smollm2'. Did you mean 'local/smollm2'?"),
        ("smollm", f"{START}'smollm'. Did you mean 'local/smollm2'?"),
        ("e5-small", f"{START}'e5-small'. Did you mean 'local/e5-small'?"),
        ("/smollm2", f"{START}'/smollm2'. Did you mean 'local/smollm2'?"),
        ("local/", f"{START}'local/'. Did you mean 'local/smollm2' or 'local/e5-small'?"),
        ("", f"{START}''."),
        ("gpt" * 50, f"{START}'{('gpt' * 50)[:40]}'...."),
    ],
)
def test_a_name_without_its_provider_gets_the_whole_name(text, message):
    """What the hint says can be typed as it stands."""
    with pytest.raises(UnknownNameError) as raised:
        model_ref(text)
    assert str(raised.value) == message


def test_the_hint_finds_a_model_behind_a_long_providers_name(tmp_path):
    """The whole name is too unlike what was written; its end is not."""
    far = Fake(tmp_path, name="a-provider-with-a-long-name")
    with registered(far), pytest.raises(UnknownNameError) as raised:
        model_ref("anythin")
    assert str(raised.value).endswith("Did you mean 'a-provider-with-a-long-name/anything'?")


def test_a_provider_may_say_where_its_answers_end(tmp_path):
    """Those that say nothing are asked for nothing."""
    assert answer_tokens(ModelRef("local", "smollm2")) == 512
    assert answer_tokens(ModelRef("local", "e5-small")) is None
    with registered(Fake(tmp_path)), registered(Echo()):
        assert answer_tokens(ModelRef("fake", "m")) is None
        assert answer_tokens(ModelRef("echo", "m")) is None


def test_the_local_figure_is_the_one_its_server_keeps():
    """Or the estimate would be of another provider."""
    from batchframe.providers import local

    assert Local().answer_tokens("/any/model.gguf") == local.DEFAULT_TOKENS
