"""The parts of the demo: playback, workload, letters, table, words."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emafusion.config import Objective
from emafusion.demo.command import budgets
from emafusion.demo.letters import TEMPLATE, letters, questions
from emafusion.demo.live import parse_price
from emafusion.demo.narrate import narrate
from emafusion.demo.playback import Playback
from emafusion.demo.replay import Served, oracle, replay, serve
from emafusion.demo.report import row_of
from emafusion.demo.workload import Workload, load_workload
from emafusion.errors import ConfigError, LogError
from tests.demo.recordings import write_recording


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return load_workload(write_recording(tmp_path_factory.mktemp("recording"), share=0.2))


@pytest.fixture
def playback(workload: Workload) -> Iterator[Playback]:
    with Playback(workload.by_prompt) as server:
        yield server


def post(server: Playback, body: dict[str, Any], path: str = "/chat/completions") -> tuple[int, str]:
    request = urllib.request.Request(server.base_url + path, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def asking(prompt: str, model: str = "large", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


# -- playback ----------------------------------------------------------------------------------------------------


def test_playback_answers_what_was_recorded_and_keeps_the_bill(workload: Workload, playback: Playback) -> None:
    entry = workload.test[0]
    for name in workload.names:
        status, body = post(playback, asking(str(entry.prompt), name))
        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["content"] == entry.outcomes[name].response
        assert json.loads(body)["usage"]["completion_tokens"] == entry.outcomes[name].out_tok
    calls = playback.take_calls()
    assert [c.model for c in calls] == list(workload.names)
    assert [c.cost_usd for c in calls] == [entry.outcomes[n].cost_usd for n in workload.names]
    assert playback.take_calls() == []


@pytest.mark.parametrize(
    ("prompt", "model"), [("What nobody recorded", "large"), (None, "another"), ("", "large")], ids=str
)
def test_playback_never_makes_an_answer_up(
    workload: Workload, playback: Playback, prompt: str | None, model: str
) -> None:
    status, body = post(playback, asking(str(workload.test[0].prompt) if prompt is None else prompt, model))
    assert status == 404
    assert "this is a recording" in json.loads(body)["error"]["message"]
    assert playback.take_calls() == []


def test_playback_knows_no_conversation(workload: Workload, playback: Playback) -> None:
    body = asking(str(workload.test[0].prompt))
    body["messages"].insert(0, {"role": "system", "content": "Be brief."})
    assert post(playback, body)[0] == 404


def test_playback_streams_to_who_wants_a_stream(workload: Workload, playback: Playback) -> None:
    entry = workload.test[0]
    status, body = post(playback, asking(str(entry.prompt), stream=True))
    assert status == 200
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    assert json.loads(lines[0])["choices"][0]["delta"]["content"] == entry.outcomes["large"].response


def test_playback_refuses_other_paths(playback: Playback) -> None:
    assert post(playback, {}, "/embeddings")[0] == 404


# -- workload ----------------------------------------------------------------------------------------------------


def test_a_workload_orders_its_candidates_by_cost(workload: Workload) -> None:
    assert workload.names == ("tiny", "middle", "large")
    assert not {e.id for e in workload.fit} & {e.id for e in workload.test}


def test_a_recording_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no such file"):
        load_workload(tmp_path / "absent.jsonl.gz")


def test_an_unfinished_recording_is_a_clear_error(tmp_path: Path) -> None:
    from emafusion.log import read_log, write_log

    path = write_recording(tmp_path, share=0.1)
    entries = [e.model_dump(mode="json", exclude_none=True) for e in read_log(path)]
    del entries[3]["outcomes"]["middle"]
    write_log(entries, path)
    with pytest.raises(LogError, match=rf"{entries[3]['id']} has no graded answer of middle"):
        load_workload(path)


def test_prompts_that_are_not_ours_cannot_be_graded(tmp_path: Path) -> None:
    from emafusion.log import read_log, write_log

    path = write_recording(tmp_path, share=0.1)
    entries = [e.model_dump(mode="json", exclude_none=True) for e in read_log(path)]
    entries[0]["prompt"] = "Who are you?"
    write_log(entries, path)
    with pytest.raises(LogError, match="not one of the demo's prompts"):
        load_workload(path)


def test_budgets_lie_between_the_cheapest_and_the_dearest(workload: Workload) -> None:
    low, high = budgets(workload)
    assert workload.mean_cost("tiny") < low < high < workload.mean_cost("large")


# -- letters -----------------------------------------------------------------------------------------------------


def test_a_letter_and_its_question_make_the_recorded_prompt() -> None:
    asked = questions()
    assert len(asked) >= 5
    for letter in asked:
        assert TEMPLATE.format(context_str=letter.text, query_str=letter.question) == letter.prompt.prompt


def test_letters_hold_no_worked_example_and_are_all_different() -> None:
    texts = [x.text for x in letters()]
    assert len(set(texts)) == len(texts)
    assert not any("\nA:" in text or text.startswith("Q:") for text in texts)


def test_the_query_engine_finds_the_letter_that_is_asked_about() -> None:
    pytest.importorskip("llama_index.core")
    from llama_index.core import MockEmbedding  # noqa: F401 (the index must not fall back on it)
    from llama_index.core.llms import MockLLM
    from llama_index.core.schema import QueryBundle

    from emafusion.demo.chains import build_engine

    engine = build_engine(MockLLM())
    for letter in questions():
        assert letter.question is not None
        (found,) = engine.retrieve(QueryBundle(letter.question, custom_embedding_strs=[letter.opening]))
        assert found.node.node_id == letter.id


# -- table and words ---------------------------------------------------------------------------------------------


def served(workload: Workload, scores: list[float]) -> list[Served]:
    return [Served(e, "tiny", s, 1e-3, 2.0) for e, s in zip(workload.test, scores)]


def test_a_row_has_means_and_their_standard_errors(workload: Workload) -> None:
    row = row_of("x", "candidate", served(workload, [1, 0, 1, 0]), served(workload, [1, 1, 1, 0]))
    assert row.quality == 0.5
    assert row.quality_se == pytest.approx(math.sqrt(1 / 3) / 2)
    assert row.usd_per_1000 == pytest.approx(1.0)
    assert row.usd_per_1000_se == pytest.approx(0.0)
    assert row.seconds == 2.0
    assert row.quality_gap == -0.25
    assert row.quality_gap_se == pytest.approx(0.25)


def test_the_oracle_takes_the_cheapest_of_the_best(workload: Workload) -> None:
    for s in serve(workload.test, oracle):
        outcomes = s.entry.outcomes
        best = max(o.score or 0.0 for o in outcomes.values())
        assert s.score == best
        assert s.cost_usd == min(o.cost_usd or 0.0 for o in outcomes.values() if (o.score or 0.0) == best)


def test_a_replay_charges_every_call_of_the_recording(workload: Workload) -> None:
    for s in replay(workload, None, Objective(usd_value=0.01)):
        assert s.decision is not None
        outcomes = [s.entry.outcomes[a.candidate] for a in s.decision.attempts]
        assert s.cost_usd == pytest.approx(sum(o.cost_usd or 0.0 for o in outcomes))
        assert s.seconds == pytest.approx(sum(o.latency_s or 0.0 for o in outcomes))
        assert s.score == s.entry.outcomes[s.answered_by].score


def test_a_decision_is_told_in_words(workload: Workload) -> None:
    several = 0
    for s in replay(workload, None, Objective()):
        assert s.decision is not None
        told = narrate(s.decision)
        assert told.count("Asked first:") == 1
        assert told.count("Then asked:") == len(s.decision.attempts) - 1
        assert f"{s.answered_by}'s answer was given" in told
        assert "USD per 1,000" in told
        several += len(s.decision.attempts) > 1
    assert several, "no decision of this test took more than one call"


def test_prices_are_read_from_the_command_line() -> None:
    name, price = parse_price("org/model:tag=0.5,1.25")
    assert (name, price.input, price.output) == ("org/model:tag", 0.5, 1.25)
    for wrong in ("model", "model=1", "model=a,b", "model=1,2,3"):
        with pytest.raises(ConfigError, match="write name=input,output"):
            parse_price(wrong)
