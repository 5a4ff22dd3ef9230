"""Replay through the engine: what reaches the policy, and that it decides as the vectorised simulation does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emafusion import Candidate, ConfigError, Fusion, LLMJudge, LogError, Objective
from emafusion.encoders import Encoder, default_encoder
from emafusion.evaluation.replay import NOT_RECORDED, ReplayTransport, recorded_reply, replay
from emafusion.learning.fitting import fit_router, record, with_evidence
from emafusion.learning.simulation import Recording, simulate
from emafusion.learning.table import read_answers, tabulate
from emafusion.log import LoggedQuery, Outcome, read_log
from emafusion.routers.artefact import RoutingModel
from emafusion.taxonomy.classifier import TaxonomyClassifier
from emafusion.types import Call
from tests.evaluation.synthetic_log import bare, make_log


@pytest.fixture(scope="module")
def model() -> RoutingModel:
    return fit_router(make_log(300, seed=0))[0]


@pytest.fixture(scope="module")
def entries() -> list[LoggedQuery]:
    return read_log(bare(make_log(200, seed=1, start=1000)))


def outcome(**given: Any) -> Outcome:
    return Outcome.model_validate(given)


def fusion_over(model: RoutingModel) -> Fusion:
    candidates = [Candidate(name, name=name, price=model.prices[name]) for name in model.candidates]
    return Fusion(candidates, router=model, judges=())


def recording_of(model: RoutingModel, entries: list[LoggedQuery], encoder: Encoder) -> Recording:
    """The log as the simulation meets it."""
    table = tabulate(entries, model.candidates)
    answers = read_answers(entries, table, encoder)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    forecasts = model.forecaster.predict(table.texts, vectors, labels)
    recording = record(model, table, answers, vectors, forecasts)
    return with_evidence(recording, model.belief, answers)


@pytest.mark.parametrize("value", [0.0005, 0.01, 0.2])
def test_the_engine_decides_as_the_simulation_does(
    model: RoutingModel, entries: list[LoggedQuery], value: float
) -> None:
    fusion = fusion_over(model)
    objective = Objective(usd_value=value)
    terms = fusion.trade_off.terms(objective)
    only = np.array([not terms.only or name in terms.only for name in model.candidates])
    run = simulate(recording_of(model, entries, default_encoder()), model.belief, terms.value, only=only)
    same = [
        one.result.decision.answered_by == model.candidates[answered]
        and one.result.decision.cost_usd == pytest.approx(cost, rel=1e-9)
        for one, answered, cost in zip(replay(entries, fusion, objective), run.answered, run.cost)
    ]
    assert np.mean(same) >= 0.99


def test_a_recorded_outcome_is_told_as_it_was() -> None:
    reply = recorded_reply(
        outcome(response="7", in_tok=11, out_tok=2, cost_usd=0.5, latency_s=1.5, finish_reason="stop")
    )
    assert (reply.text, reply.cost_usd, reply.latency_s, reply.finish_reason) == ("7", 0.5, 1.5, "stop")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 2)


def test_an_outcome_without_a_text_is_marked() -> None:
    assert recorded_reply(outcome(score=1.0, cost_usd=0.1)).finish_reason == NOT_RECORDED
    assert recorded_reply(outcome(response="", finish_reason="stop")).finish_reason == "stop"


def test_what_the_log_does_not_hold_cannot_be_called(entries: list[LoggedQuery]) -> None:
    transport = ReplayTransport(entries[0])
    with pytest.raises(LookupError, match="no reply of 'nobody' to a draft"):
        transport.call(Call("draft", "nobody"))
    with pytest.raises(LookupError, match="to a judge"):
        transport.call(Call("judge", "tiny"))


def test_a_replay_refuses_judges_that_would_have_to_be_called(model: RoutingModel, entries: list[LoggedQuery]) -> None:
    candidates = [Candidate(name, name=name, price=model.prices[name]) for name in model.candidates]
    fusion = Fusion(candidates, router=model, judges=[LLMJudge("huge")])
    with pytest.raises(ConfigError, match=r"judges=\(\)"):
        next(replay(entries, fusion))


def test_a_query_of_strangers_is_an_error(model: RoutingModel) -> None:
    entry = LoggedQuery(id="x", prompt="hello", outcomes={"stranger": outcome(response="hi")})
    with pytest.raises(LogError, match="query 'x': no outcome of a candidate that the router knows"):
        next(replay([entry], fusion_over(model)))


def test_the_score_rides_along_unseen(model: RoutingModel) -> None:
    lines = make_log(20, seed=5, start=3000)
    with_scores = list(replay(read_log(lines), fusion_over(model), Objective(usd_value=0.01)))
    without = list(replay(read_log(bare(lines)), fusion_over(model), Objective(usd_value=0.01)))
    assert [one.as_dict() for one in with_scores] == [one.as_dict() for one in without]
    for one, line in zip(with_scores, lines):
        assert one.score == line["outcomes"][one.result.decision.answered_by]["score"]
    assert all(one.score is None for one in without)


def test_a_log_from_a_file_replays_like_one_from_memory(model: RoutingModel, tmp_path: Path) -> None:
    from tests.evaluation.synthetic_log import write

    lines = bare(make_log(10, seed=6, start=4000))
    entries = (read_log(write(tmp_path / "log.jsonl", lines)), read_log(lines))
    first, second = (
        [one.as_dict() for one in replay(e, fusion_over(model), Objective(usd_value=0.01))] for e in entries
    )
    assert first == second
