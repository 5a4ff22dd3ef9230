"""Copies with other settings have them in force; a setting that could not take effect is refused, not ignored."""

from __future__ import annotations

import copy

import pytest
from llama_index.core.async_utils import asyncio_run, run_jobs
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import MockLLM

from emafusion import Budget
from emafusion.config import Candidate, Objective, Price
from emafusion.errors import AllCandidatesFailed, ConfigError
from llamaindex_emafusion import EMAFusion
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Direct
from tests.loopback_model import LoopbackModel


@pytest.fixture
def llm(clients: Clients) -> EMAFusion:
    return EMAFusion([clients.candidate("cheap"), clients.candidate("dear")], judges=[])


def test_an_update_of_what_the_core_is_built_from_builds_it_anew(llm: EMAFusion, clients: Clients) -> None:
    twin = llm.model_copy(update={"stream_mode": "buffered", "candidates": [clients.candidate("middle")]})
    assert twin.fusion.engine.stream_mode == "buffered"
    assert twin.complete("hi").additional_kwargs["emafusion"]["answered_by"] == "middle"
    assert llm.fusion.engine.stream_mode == "auto"
    assert llm.fusion.pool.names == ("cheap", "dear")
    with pytest.raises(ConfigError, match="candidates is empty"):
        llm.model_copy(update={"candidates": []})


def test_an_update_of_the_objective_shares_the_core(llm: EMAFusion) -> None:
    twin = llm.model_copy(update={"objective": Objective(usd_per_query=1e-7)})
    assert twin.fusion is llm.fusion
    assert twin.complete("hi").additional_kwargs["emafusion"]["objective"] == {"usd_per_query": 1e-7}
    assert llm.complete("hi").additional_kwargs["emafusion"]["objective"] != {"usd_per_query": 1e-7}


def test_retries_of_a_copy_are_its_own(llm: EMAFusion, clients: Clients) -> None:
    clients.server.add(LoopbackModel("dear", error_status=503, fail_times=2))
    with pytest.raises(AllCandidatesFailed):
        llm.model_copy(update={"max_retries": 0}).complete("hi", model="dear")
    assert llm.complete("hi", model="dear").text == "hi"  # the original is patient
    with pytest.raises(ConfigError, match="limit must be 0 or more"):
        llm.model_copy(update={"max_retries": -1})


def test_what_was_fitted_goes_along(llm: EMAFusion) -> None:
    log = [
        {
            "id": f"q{i}",
            "prompt": f"What is {i} plus {i + 1}?",
            "outcomes": {
                name: {"score": score, "response": f"{2 * i + 1}", "in_tok": 9, "out_tok": 3, "cost_usd": cost}
                for name, score, cost in (("cheap", float(i % 3 > 0), 1e-6), ("dear", 1.0, 1e-4))
            },
        }
        for i in range(60)
    ]
    llm.fit(log)
    assert llm.model_copy(update={"stream_mode": "live"}).fusion.routing_model is llm.fusion.routing_model is not None


def test_a_copy_spends_from_the_same_budget(clients: Clients) -> None:
    llm = EMAFusion([clients.candidate("cheap")], judges=[], budgets=[Budget(1.0)])
    twin = llm.model_copy(update={"stream_mode": "buffered"})
    llm.complete("hi")
    (before,) = llm.fusion.budgets()
    twin.complete("hi")
    (after,) = llm.fusion.budgets()
    assert after["spent"] == pytest.approx(2 * before["spent"])
    (own,) = llm.model_copy(update={"budgets": [Budget(2.0)]}).fusion.budgets() or [{"spent": 0.0}]
    assert own["spent"] == 0.0


def test_an_assignment_that_could_not_take_effect_is_refused(llm: EMAFusion) -> None:
    with pytest.raises(ConfigError, match=r"model_copy\(update=\{'stream_mode': \.\.\.\}\)"):
        llm.stream_mode = "live"
    llm.objective = Objective(usd_per_query=1e-7)  # this one is read for each request
    assert llm.complete("hi").additional_kwargs["emafusion"]["objective"] == {"usd_per_query": 1e-7}


def test_a_misspelt_argument_is_refused(clients: Clients) -> None:
    with pytest.raises(ConfigError, match="no argument 'objectve': did you mean 'objective'"):
        EMAFusion([clients.candidate("cheap")], objectve=Objective(usd_value=1))


def test_copies_with_listeners_of_their_own_do_not_copy_clients_again_and_again(clients: Clients) -> None:
    one = clients.scripted(Direct(("cheap",)))
    other = copy.copy(one)
    for llm in (one, other):
        llm.callback_manager = CallbackManager([TokenCountingHandler(tokenizer=str.split)])
    models = {id(llm) for llm in (one, other) for _ in range(3) if llm.complete("hi")}
    assert len(models) == 2
    assert one._bound is not other._bound
    assert len(one._bound._kept) == len(other._bound._kept) == 1


def test_settings_hand_their_callback_manager_on(clients: Clients, settings: object) -> None:
    from llama_index.core import Settings

    Settings.llm = clients.scripted(Direct(("cheap",)))
    counter = TokenCountingHandler(tokenizer=str.split)
    Settings.callback_manager = CallbackManager([counter])
    Settings.llm.complete("Say violet")
    assert counter.total_llm_token_count > 0


def test_a_pool_that_tells_nothing_of_itself_reports_the_frameworks_defaults(clients: Clients) -> None:
    class Unknown(MockLLM):
        @property
        def metadata(self) -> LLMMetadata:
            raise ValueError("unknown model")

    known = clients.candidate("cheap", context_window=9_000)
    silent = Candidate(Unknown(max_tokens=None), name="unknown", price=Price(1, 1))
    assert EMAFusion([silent]).metadata.context_window == DEFAULT_CONTEXT_WINDOW
    assert EMAFusion([silent, known]).metadata.context_window == 9_000
    assert EMAFusion([silent.named(context_window=5_000), known]).metadata.context_window == 5_000


async def test_it_is_asked_within_running_loops() -> None:
    llm = EMAFusion([Candidate(MockLLM(max_tokens=None), name="echo", price=Price(1, 1))])
    assert "one" in llm.complete("one").text  # blocking, though a loop is running
    jobs = [llm.acomplete(f"job {i}") for i in range(6)]
    assert ["job 5" in r.text for r in asyncio_run(run_jobs(jobs, workers=3))][5]  # on a loop in another thread
