"""The contract bites: each provider that is wrong on purpose is caught by the test that is meant for it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from batchframe.errors import BatchframeError
from batchframe.model import Endpoint
from batchframe.testing import clouds, registered
from batchframe.testing.contract.setting import Stage
from batchframe.testing.provider_contract import Capabilities, ProviderContract, notyet

from . import test_fireworks, test_mistral, test_xai

pytest_plugins = ["pytester"]

NOTICED = (AssertionError, BatchframeError, pytest.fail.Exception)

PASSES = "test_what_passes_by_itself_is_waited_out"
STOPS = "test_what_does_not_pass_is_told_by_its_class_whatever_is_done"
DAMAGED = "test_damaged_result_lines_cost_only_their_own_rows"
AT_ONCE = "test_a_request_sent_at_once_is_the_same_as_in_a_batch"
KEYED = "test_the_batch_carries_our_key_and_the_users_pairs"
LATE = "test_a_batch_that_failed_late_keeps_what_was_answered"
MONEY = "test_tokens_and_dollars_are_what_the_answers_say"
PAGES = "test_a_batch_is_found_on_whichever_page_it_is"
QUOTED = "test_a_key_that_looks_like_none_and_is_quoted_is_nowhere"
REFUSED_ROWS = "test_a_row_that_failed_is_an_error_and_the_others_are_answers"
STATUSES = "test_every_documented_status_has_its_phase"
WRONG = "test_what_comes_in_place_of_results_is_not_taken_for_them"
NOT_THERE = "test_one_answer_that_there_is_no_such_thing_proves_nothing"
UNKNOWN = "test_an_unknown_status_means_waiting_and_is_logged_once"

BITES = (
    # 1: a dialect is pure
    ("changes_its_input", "test_a_dialect_is_pure", {}),
    ("shortens_ids", "test_ids_survive_every_legal_key", {}),
    # 2: the wire is golden
    ("adds_to_the_line", "test_wire_lines_are_the_golden_ones", {}),
    ("adds_to_the_body", "test_request_bodies_are_what_the_openai_sdk_would_send", {}),
    ("uploads_something_else", "test_what_is_uploaded_is_what_the_preview_shows", {}),
    # 3: every row exactly once
    ("counts_lines_instead_of_reading_ids", DAMAGED, {"damage": "shuffled and doubled"}),
    ("reads_the_output_file_only", "test_a_row_that_failed_is_an_error_and_the_others_are_answers", {}),
    ("reads_the_output_file_only", "test_a_batch_whose_rows_were_all_refused_is_no_failure", {}),
    ("takes_refusals_for_answers", "test_a_row_that_failed_is_an_error_and_the_others_are_answers", {}),
    ("takes_refusals_for_answers", DAMAGED, {"damage": "no status"}),
    ("drops_partial_results", "test_a_cancelled_batch_keeps_what_was_answered", {}),
    (
        "drops_partial_results",
        "test_an_expired_batch_keeps_what_was_answered_and_the_rest_can_be_sent_again",
        {},
    ),
    ("takes_whatever_comes", WRONG, {"wrong": "page", "times": 1}),
    ("takes_whatever_comes", WRONG, {"wrong": "error", "times": 1}),
    ("takes_whatever_comes", WRONG, {"wrong": "nothing", "times": 6}),
    ("takes_whatever_comes", WRONG, {"wrong": "half", "times": 1}),
    ("believes_that_it_has_ended", "test_a_batch_that_has_ended_may_name_its_files_later", {}),
    ("believes_that_it_has_ended", "test_what_can_be_read_is_there_though_results_fall_short", {}),
    ("takes_every_refusal_for_the_end", NOT_THERE, {"call": "get"}),
    ("stops_for_a_file_that_is_gone", "test_rows_of_a_file_that_is_gone_say_so_and_lock_nothing_up", {}),
    # 4: paid once, whatever dies
    ("expects_the_newest_first", "test_a_batch_is_found_in_a_list_that_begins_with_the_oldest", {}),
    ("keeps_the_older_twin", "test_of_two_batches_the_one_with_results_is_kept", {}),
    ("never_finds", "test_a_process_killed_between_any_two_steps_pays_once", {}),
    ("never_finds", "test_a_batch_whose_making_was_not_confirmed_is_found_again", {}),
    ("never_finds", "test_a_ticket_survives_json_and_finds_its_batch", {}),
    ("keeps_what_is_no_json", "test_a_ticket_survives_json_and_finds_its_batch", {}),
    ("takes_any_batch_for_its_own", "test_a_batch_of_another_part_is_not_taken_for_ones_own", {}),
    ("creates_again_when_in_doubt", "test_a_batch_whose_making_was_not_confirmed_is_found_again", {}),
    ("asks_the_list_for_what_it_knows", "test_a_list_that_lags_does_not_hide_a_batch_that_the_ledger_knows", {}),
    ("takes_half_a_file_for_a_whole_one", "test_a_download_that_was_cut_is_gone_on_with", {"ranges": True}),
    # 5: statuses are open
    ("takes_unknown_statuses_for_failures", "test_an_unknown_status_means_waiting_and_is_logged_once", {}),
    (
        "takes_unknown_statuses_for_failures",
        "test_a_job_outlives_odd_batch_objects",
        {"oddity": "a status that nobody knows"},
    ),
    ("keeps_the_unknown_to_itself", "test_a_job_outlives_odd_batch_objects", {"oddity": "a status that nobody knows"}),
    ("takes_expired_for_running", "test_every_documented_status_has_its_phase", {}),
    ("counts_nothing_as_nothing", "test_counts_and_tokens_of_a_batch_are_told_while_it_runs", {}),
    # 6: limits and queues
    ("knows_wrong_limits", "test_limits_are_dated_and_no_larger_than_the_clouds", {}),
    ("calls_every_end_good", "test_a_batch_of_the_most_rows_is_taken_and_one_more_is_not", {}),
    ("fails_when_the_queue_is_full", "test_a_queue_that_is_full_is_waited_out", {"status": 429}),
    ("takes_being_turned_away_for_failing", "test_a_queue_that_turns_a_batch_away_is_waited_out", {}),
    # 7: money
    ("counts_thoughts_twice", "test_tokens_and_dollars_are_what_the_answers_say", {}),
    ("prices_what_it_does_not_know", "test_a_model_without_a_price_costs_null_and_not_nothing", {}),
    # 8: parameters
    ("drops_a_parameter", "test_each_parameter_is_sent_or_refused", {}),
    ("carries_no_metadata", "test_the_batch_carries_our_key_and_the_users_pairs", {}),
    (
        "answers_at_every_endpoint",
        "test_an_endpoint_has_a_dialect_or_is_refused_by_name",
        {"endpoint": Endpoint.EMBEDDINGS},
    ),
    # 9: the same at once
    ("adds_to_the_body", "test_a_request_sent_at_once_is_the_same_as_in_a_batch", {}),
    # 10: errors and secrets
    ("calls_every_refusal_the_same", STOPS, {"what": "a wrong key"}),
    ("calls_every_refusal_the_same", "test_a_job_that_was_stopped_says_what_to_type_and_goes_on", {}),
    ("tells_its_key", STOPS, {"what": "a server that is down"}),
    ("gives_up_at_once", PASSES, {"what": "503"}),
    ("gives_up_at_once", "test_a_rate_limit_is_obeyed_in_each_of_its_dialects", {"dialect": "date"}),
    ("creates_again_when_in_doubt", "test_a_create_that_may_have_happened_is_not_repeated_blindly", {}),
    ("says_what_the_server_says", QUOTED, {"where": "the create"}),
    ("says_what_the_server_says", QUOTED, {"where": "the download"}),
    ("keeps_its_key_to_itself", QUOTED, {"where": "a row"}),
    ("keeps_its_key_to_itself", QUOTED, {"where": "a batch"}),
    ("keeps_its_key_to_itself", QUOTED, {"where": "the upload"}),
    ("logs_its_key", "test_secrets_and_prompts_are_nowhere_but_where_they_must_be", {}),
    ("saves_its_key", "test_secrets_and_prompts_are_nowhere_but_where_they_must_be", {}),
    ("leaves_files_behind", "test_cleaning_up_removes_our_files_and_may_be_done_twice", {}),
    ("takes_a_missing_file_for_none", "test_a_result_file_that_is_gone_is_told", {}),
    # what was said anew for providers of other shapes
    ("gives_failed_batches_up", LATE, {}),
    ("reads_the_first_page", PAGES, {}),
    ("carries_no_key", KEYED, {}),
)  # fmt: skip
"""Mutant, the test that must notice it, and that test's parameters."""

NATIVE = {
    "mistral": (
        ("leaves_the_model_in_the_line", "test_wire_lines_are_the_golden_ones", {}),
        ("speaks_openai", "test_wire_lines_are_the_golden_ones", {}),
        ("sends_seed_as_openai_does", "test_each_parameter_is_sent_or_refused", {}),
        ("invents_a_name", "test_request_bodies_are_what_the_openai_sdk_would_send", {}),
        ("invents_a_name", AT_ONCE, {}),
        ("asks_another_model", AT_ONCE, {}),
        ("gives_failed_jobs_up", LATE, {}),
        ("takes_a_timeout_for_a_failure", STATUSES, {}),
        ("keeps_the_users_pairs_to_itself", KEYED, {}),
    ),
    "fireworks": (
        ("makes_up_an_id_each_time", "test_a_process_killed_between_any_two_steps_pays_once", {}),
        ("makes_up_an_id_each_time", "test_a_batch_whose_making_was_not_confirmed_is_found_again", {}),
        ("names_models_as_users_do", AT_ONCE, {}),
        ("overlooks_the_prefix_of_states", STATUSES, {}),
        ("reads_the_first_file_only", REFUSED_ROWS, {}),
        ("takes_an_empty_purse_for_a_refusal", STOPS, {"what": "an empty purse"}),
        ("takes_half_a_wrapper_for_an_answer", DAMAGED, {"damage": "no status"}),
        ("believes_that_deleting_keeps", "test_a_cancelled_batch_keeps_what_was_answered", {}),
    ),
    "xai": (
        ("believes_counters_at_once", "test_a_batch_that_ends_before_its_cancellation_is_complete", {}),
        ("reads_one_page_of_results", "test_pages_are_read_to_the_last", {}),
        ("reads_one_page_of_the_list", PAGES, {}),
        ("prices_by_the_list", MONEY, {}),
        ("prices_by_the_list", "test_a_model_without_a_price_costs_null_and_not_nothing", {}),
        ("leaves_thoughts_out", MONEY, {}),
        ("takes_no_counters_for_the_end", UNKNOWN, {}),
        ("wonders_at_each_look", UNKNOWN, {}),
        ("takes_a_wrong_key_for_a_refusal", STOPS, {"what": "a wrong key"}),
        ("takes_a_wrong_key_for_a_refusal", "test_a_wrong_key_is_told_by_the_provider_itself", {}),
        ("takes_an_empty_response_for_an_answer", DAMAGED, {"damage": "no status"}),
        ("reads_ids_where_openai_has_them", "test_every_row_comes_back_as_itself", {}),
        ("names_all_batches_alike", KEYED, {}),
        ("names_all_batches_alike", "test_a_batch_of_another_part_is_not_taken_for_ones_own", {}),
        ("forgets_results_quietly", "test_a_result_file_that_is_gone_is_told", {}),
    ),
}  # fmt: skip
"""Provider -> the same, of `mutants_native`."""


class Before(ProviderContract):
    """The stage on which mutants stand; no test of its own is run."""

    __test__ = False
    capabilities = Capabilities()
    model = "gpt-4o-mini"
    golden = Path(__file__).parents[1] / "wire" / "openai.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.openai() as cloud:
            yield cloud


def helpers(stage):
    """Give all that a class of the contract has but its tests."""
    return {
        name: value
        for kind in reversed(stage.__mro__)
        for name, value in vars(kind).items()
        if not name.startswith(("test_", "__"))
    }


STAGES = {
    "mistral": test_mistral.TestMistral,
    "fireworks": test_fireworks.TestFireworks,
    "xai": test_xai.TestXAI,
}
CLAIMS = {"believes_that_deleting_keeps": {"cancel_keeps": True}}
"""Mutants that are wrong in what their class declares."""


def bites(test, fixed):
    """Turn a test of the contract into one that passes when it notices something."""
    signature = inspect.signature(test)
    left = [one for name, one in signature.parameters.items() if name not in fixed]

    def caught(self, **given):
        with pytest.raises(NOTICED):
            test(self, **given, **fixed)

    caught.__signature__ = signature.replace(parameters=left)
    caught.__doc__ = test.__doc__
    return caught


def stand(stage, module, found):
    """Make a class of tests for each mutant and each test that must notice it."""
    for number, (mutant, name, fixed) in enumerate(found):
        title = f"Test_{module.rpartition('_')[2]}_{stage.__name__}_{number:02d}_{mutant}"
        claims = replace(stage.capabilities, **CLAIMS.get(mutant, {}))
        globals()[title] = type(title, (), {
            **helpers(stage), "factory": f"{__package__}.{module}:{mutant}", "excused": {},
            "capabilities": claims, name: bites(getattr(ProviderContract, name), fixed),
        })  # fmt: skip


stand(Before, "mutants", BITES)
for provider, found in NATIVE.items():
    stand(STAGES[provider], "mutants_native", found)

SOUND = ("test_every_row_comes_back_as_itself", "test_a_dialect_is_pure")
UNSPOILED = {
    "TestUnspoiled": (Before, "mutants:spoiled"),
    **{
        f"TestUnspoiled{provider.title()}": (stage, f"mutants_native:unspoiled_{provider}")
        for provider, stage in STAGES.items()
    },
}
"""What mutants are made of is right itself: without their one fault they are not caught."""

for title, (stage, factory) in UNSPOILED.items():
    tests = {name: getattr(ProviderContract, name) for name in SOUND}
    members = {**helpers(stage), "factory": f"{__package__}.{factory}", **tests}
    globals()[title] = type(title, (), members)


def test_every_promise_has_a_mutant_and_every_mutant_a_test():
    """Ten promises, and no mutant that nobody meets."""
    from . import mutants, mutants_native

    there = {
        name
        for module in (mutants, mutants_native)
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and name[0] != "_"
        and "spoiled" not in name
    }
    met = [*BITES, *(bite for found in NATIVE.values() for bite in found)]
    assert there == {mutant for mutant, _, _ in met}


def test_an_excuse_for_no_test_is_refused():
    """A misspelt one would excuse nothing, and nobody would know."""
    with pytest.raises(TypeError, match="and there is no such test"):
        type("TestWrong", (Stage,), {"excused": {"test_nothing": notyet("why")}})


def test_an_excuse_is_strict(pytester):
    """The day it is no longer needed, the suite turns red."""
    pytester.makepyfile(
        """
        from batchframe.testing.contract.setting import Stage
        from batchframe.testing.provider_contract import never

        class Base(Stage):
            def test_fails(self):
                assert False
            def test_passes(self):
                assert True

        class TestIt(Base):
            excused = {"test_fails": never("by nature"), "test_passes": never("not true")}
        """
    )
    ran = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    ran.assert_outcomes(xfailed=1, failed=1)


def test_providers_are_chosen_by_name(pytester):
    """`--providers=openai` leaves the others out, and a name that nobody has is refused."""
    pytester.makeconftest(
        "from batchframe.testing.contract.selection import *\n"
        "from batchframe.testing.contract.selection import pytest_addoption"
    )
    pytester.makepyfile(
        """
        class TestA:
            factory = "batchframe.providers.openai:OpenAI"
            def test_it(self): pass

        class TestB:
            factory = "batchframe.providers.groq:Groq"
            def test_it(self): pass

        def test_other(): pass
        """
    )
    quiet = ("-p", "no:randomly", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*quiet).assert_outcomes(passed=3)
    chosen = pytester.runpytest_inprocess(*quiet, "--providers=groq")
    chosen.assert_outcomes(passed=1, deselected=2)
    unknown = pytester.runpytest_inprocess(*quiet, "--providers=grok")
    assert "no contract of grok is here; here are: groq, openai." in "\n".join(unknown.errlines)


def test_answers_that_are_kept_as_they_came_are_noticed(monkeypatch, tmp_path):
    """The library brings bodies into form, so this break is in the library: nothing is brought into form."""
    from batchframe.dialects import normal

    monkeypatch.setattr(normal, "normalised", lambda body: (dict(body), None))
    with clouds.azure() as cloud, registered(_azure(cloud)) as provider:
        stage = type("Stage", (Before,), {"model": "gpt-4o-mini"})()
        monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path))
        with pytest.raises(NOTICED):
            stage.test_answers_are_kept_as_openai_objects(provider)


def _azure(cloud):
    from batchframe.providers.azure import Azure

    return Azure(endpoint=cloud.url, api_key=cloud.key, poll_seconds=0.01)
