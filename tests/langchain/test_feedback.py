"""What comes of an answer in its chain, and feedback by the ids of runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, ValidationError

from emafusion import AllCandidatesFailed, Candidate, ConfigError, Learning, Objective, Price
from emafusion.learning.online.observation import Observation
from emafusion.store import Store
from langchain_emafusion import ChatEMAFusion, FeedbackCallback
from tests.langchain.conftest import candidate
from tests.loopback import LoopbackModel, LoopbackServer

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)
GOOD, BAD = '{"city": "Rome"}', "The city is Rome."
ASK = "Which city is it? Reply with JSON."
ways = pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])


class Place(BaseModel):
    """A place."""

    city: str


def model(*answers: str, name: str = "one", **fields: Any) -> ChatEMAFusion:
    fake = FakeListChatModel(responses=list(answers))
    return ChatEMAFusion([Candidate(fake, name=name, price=Price(1, 2))], learning=QUIET, judges=[], **fields)


def heard(llm: ChatEMAFusion, decision_id: str | None = None) -> Observation:
    """What is known of the answer of a decision, by default the last."""
    last = llm.fusion.last
    assert llm.fusion.learning is not None
    assert last is not None
    (known,) = llm.fusion.learning.observations(decision_id or last.id)
    return known


def speaks(llm: ChatEMAFusion, decision_id: str | None = None) -> str | None:
    """What was told of an answer: it speaks against it, for it, or there is nothing."""
    known = heard(llm, decision_id)
    return None if known.judge is None else "against" if known.judge < known.forecast else "for"


async def run(chain: Runnable[Any, Any], way: str, config: Any, asked: Any = ASK) -> Any:
    if way == "invoke":
        return chain.invoke(asked, config)
    if way == "ainvoke":
        return await chain.ainvoke(asked, config)
    if way == "stream":
        return list(chain.stream(asked, config))
    return [piece async for piece in chain.astream(asked, config)]


STEPS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "lambda over text": lambda: StrOutputParser() | RunnableLambda(json.loads),
    "lambda that validates": lambda: RunnableLambda(lambda message: Place.model_validate_json(message.text)),
}
PARSERS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "json": JsonOutputParser,
    "pydantic": lambda: PydanticOutputParser(pydantic_object=Place),
}


@ways
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_fails_on_an_answer_speaks_against_it(step: str, way: str) -> None:
    llm = model(BAD)
    with pytest.raises((ValidationError, json.JSONDecodeError)):
        await run(llm | STEPS[step](), way, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "against"


@pytest.mark.parametrize(
    "way", ["invoke", "ainvoke"]
)  # streamed, LangChain's parsers make nothing of it, and say nothing
@pytest.mark.parametrize("parser", PARSERS)
async def test_a_parser_that_fails_on_an_answer_speaks_against_it(parser: str, way: str) -> None:
    llm = model(BAD)
    with pytest.raises(OutputParserException):
        await run(llm | PARSERS[parser](), way, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "against"


@ways
@pytest.mark.parametrize("parser", PARSERS)
async def test_a_parser_that_succeeds_speaks_for_the_answer(parser: str, way: str) -> None:
    llm = model(GOOD)
    await run(llm | PARSERS[parser](), way, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "for"


@ways
async def test_a_parser_of_text_tells_nothing(way: str) -> None:
    llm = model(BAD)
    await run(llm | StrOutputParser(), way, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) is None


def test_a_failure_after_a_parser_that_succeeded_is_what_counts() -> None:
    llm = model('{"town": "Rome"}')
    with pytest.raises(ValidationError):
        (llm | JsonOutputParser() | Place.model_validate).invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "against"


def test_an_answer_is_counted_against_once_however_often_it_fails() -> None:
    llm, other = model(BAD), model(BAD)
    again = JsonOutputParser().with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    for one, parser in ((llm, JsonOutputParser()), (other, again)):
        told = FeedbackCallback(one)
        nested: Runnable[Any, Any] = RunnablePassthrough[Any]() | (one | parser)
        with pytest.raises(OutputParserException):
            nested.invoke(ASK, {"callbacks": [told]})
    assert heard(llm).judge == pytest.approx(heard(other).judge)


def test_each_attempt_of_a_chain_that_is_retried_has_an_answer_of_its_own() -> None:
    llm, ids = model(BAD, GOOD), list[str]()

    def note(message: Any) -> Any:
        ids.append(message.response_metadata["emafusion"]["id"])
        return message

    chain = (llm | note | JsonOutputParser()).with_retry(wait_exponential_jitter=False)
    assert chain.invoke(ASK, {"callbacks": [FeedbackCallback(llm)]}) == {"city": "Rome"}
    assert [speaks(llm, id) for id in ids] == ["against", "for"]


def test_an_error_that_says_nothing_of_the_answer_is_left_alone() -> None:
    def lose(message: Any) -> Any:
        raise ConnectionError("the printer is out of paper")

    llm = model(GOOD)
    with pytest.raises(ConnectionError):
        (llm | RunnableLambda(lose)).invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) is None


def test_of_two_answers_the_one_that_failed_is_blamed() -> None:
    llm, ids = model(GOOD, BAD), list[str]()

    def twice(asked: str) -> Any:
        for _ in range(2):
            message = llm.invoke(asked)
            ids.append(message.response_metadata["emafusion"]["id"])
        return JsonOutputParser().invoke(message)

    with pytest.raises(OutputParserException):
        RunnableLambda(twice).invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert [speaks(llm, id) for id in ids] == [None, "against"]


def test_the_message_that_was_parsed_tells_whose_it_was() -> None:
    llm, messages = model(BAD, GOOD), list[Any]()

    def first_again(asked: str) -> Any:
        messages.extend(llm.invoke(asked) for _ in range(2))
        return JsonOutputParser().invoke(messages[0])

    with pytest.raises(OutputParserException):
        RunnableLambda(first_again).invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    told = [speaks(llm, m.response_metadata["emafusion"]["id"]) for m in messages]
    assert told == ["against", None]


async def test_what_runs_beside_an_answer_does_not_speak_against_it() -> None:
    llm = model(GOOD)

    def late(_: Any) -> Any:
        while llm.fusion.last is None:  # until the answer beside it is there
            pass
        return json.loads("no JSON")

    chain = RunnableParallel(answer=llm, other=RunnablePassthrough[Any]() | RunnableLambda(late))
    with pytest.raises(json.JSONDecodeError):
        chain.invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) is None


@pytest.mark.parametrize("between", [RunnablePassthrough(), StrOutputParser()], ids=["message", "text"])
def test_what_another_kind_of_model_answered_does_not_speak_against_ours(between: Runnable[Any, Any]) -> None:
    llm, other = model(GOOD), FakeListChatModel(responses=[BAD])
    chain = llm | StrOutputParser() | other | between | RunnableLambda(lambda m: json.loads(str(getattr(m, "text", m))))
    with pytest.raises(json.JSONDecodeError):
        chain.invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) is None


def test_other_models_of_a_trace_are_left_alone() -> None:
    llm, other = model(GOOD), model(BAD)
    chain = llm | RunnableLambda(lambda m: [HumanMessage(m.text)]) | other | JsonOutputParser()
    with pytest.raises(OutputParserException):
        chain.invoke(ASK, {"callbacks": [FeedbackCallback(llm), FeedbackCallback(other)]})
    assert (speaks(llm), speaks(other)) == (None, "against")


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
async def test_structured_output_that_fails_is_known_to_the_judges_and_counts_no_more(
    server: LoopbackServer, way: str
) -> None:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name, '{"town": "Rome"}'))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], judges=[], learning=QUIET)
    unstreamed = (OutputParserException, ValidationError)
    before = model(GOOD)
    told, signals = [FeedbackCallback(llm), FeedbackCallback(before)], list[Any]()
    for one in (llm, before):
        one.fusion.signal = lambda *said, **more: signals.append((said, more))  # type: ignore[method-assign]
    chain = before | RunnableLambda(lambda m: [HumanMessage(f"{ASK} {m.text}")])
    with pytest.raises(AllCandidatesFailed if way == "stream" else unstreamed):
        await run(chain | llm.with_structured_output(Place, method="json_mode"), way, {"callbacks": told})
    assert signals == []


def test_a_graphs_node_that_cannot_use_the_answer_of_another_speaks_against_it() -> None:
    llm = model(BAD)

    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [llm.invoke(state["messages"])]}

    def use(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage(JsonOutputParser().invoke(str(state["messages"][-1].content)))]}

    graph = StateGraph(MessagesState)
    graph.add_sequence([("say", say), ("use", use)])
    graph.add_edge(START, "say")
    graph.add_edge("use", END)
    with pytest.raises(OutputParserException):
        graph.compile().invoke({"messages": [HumanMessage(ASK)]}, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "against"


def test_what_a_tool_raises_does_not_speak_against_the_answer_before_it() -> None:
    llm = model(GOOD)

    @tool
    def look_up(city: str) -> str:
        """Look a city up."""
        return Place.model_validate_json("the service is down").city

    chain = llm | JsonOutputParser() | look_up
    with pytest.raises(ValidationError):
        chain.invoke(ASK, {"callbacks": [FeedbackCallback(llm)]})
    assert speaks(llm) == "for"  # it was parsed


def test_an_answer_that_a_tool_asked_for_belongs_to_the_run_above_it() -> None:
    llm, id = model(BAD), uuid4()

    @tool
    def ask(question: str, config: RunnableConfig) -> str:
        """Ask somebody else."""
        return str(JsonOutputParser().invoke(llm.invoke(question, config), config))

    told = FeedbackCallback(llm)
    chain: Runnable[Any, Any] = RunnableLambda(lambda question: {"question": question}) | ask
    with pytest.raises(OutputParserException):
        chain.invoke(ASK, {"callbacks": [told], "run_id": id})
    assert speaks(llm) == "against"
    assert told.create_feedback(id, score=0.0) == answered(llm)
    assert not told._trace._open


# -- feedback by run ---------------------------------------------------------------------------------------------


def answered(llm: ChatEMAFusion) -> str:
    assert llm.fusion.last is not None
    return llm.fusion.last.id


@ways
async def test_a_chains_run_stands_for_the_last_answer_below_it(way: str) -> None:
    llm, id = model(GOOD), uuid4()
    told = FeedbackCallback(llm)
    chain = ChatPromptTemplate.from_template("{question}") | llm | StrOutputParser()
    await run(chain, way, {"callbacks": [told], "run_id": id}, {"question": ASK})
    assert told.create_feedback(id, "user_score", score=0.0) == answered(llm)
    assert heard(llm).truth == 0.0


@pytest.mark.parametrize("structured", [False, True])
async def test_a_models_own_run_stands_for_its_answer(server: LoopbackServer, structured: bool) -> None:
    server.add(LoopbackModel("dear", GOOD))
    llm = ChatEMAFusion([candidate(server, "dear")], learning=QUIET)
    asked = llm.with_structured_output(Place, method="json_mode") if structured else llm
    told, id = FeedbackCallback(llm), uuid4()
    await asked.ainvoke(ASK, {"callbacks": [told], "run_id": id})
    assert told.create_feedback(str(id), score=1) == answered(llm)


def test_a_run_that_generate_opened_stands_for_its_answer() -> None:
    llm = model(GOOD)
    told = FeedbackCallback(llm)
    run_info = llm.generate([[HumanMessage(ASK)]], callbacks=[told]).run
    assert run_info is not None
    assert told.create_feedback(run_info[0].run_id, score=True) == answered(llm)


def test_a_callback_of_the_model_itself_knows_the_run_above() -> None:
    llm = model(GOOD)
    told, seen = FeedbackCallback(llm), list[UUID]()
    llm.callbacks = [told]

    class Ids(FeedbackCallback):
        def on_chain_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
            seen.append(run_id)

    (llm | StrOutputParser()).invoke(ASK, {"callbacks": [Ids(llm)]})
    assert told.create_feedback(seen[0], score=True) == answered(llm)  # the chain's


@pytest.mark.parametrize(
    ("key", "said", "truth"),
    [
        ("user_score", {"score": True}, 1.0),
        ("user_score", {"score": False}, 0.0),
        ("user_score", {"score": 0.25}, 0.25),
        ("correctness", {"score": 0, "comment": "it is Milan"}, 0.0),
        ("thumb", {"value": True}, 1.0),
        ("ground_truth", {"value": "391"}, 1.0),
        ("reference", {"value": 390}, 0.0),
    ],
)
def test_scores_values_and_truths_are_learned_from(key: str, said: dict[str, Any], truth: float) -> None:
    llm, id = model("391"), uuid4()
    told = FeedbackCallback(llm)
    llm.invoke("What is 17 * 23? Reply with a number.", {"callbacks": [told], "run_id": id})
    told.create_feedback(id, key, **said)
    assert heard(llm).truth == truth


@pytest.mark.parametrize(
    "said", [{}, {"comment": "nice"}, {"score": 2.0}, {"key": "correctness", "value": "INCORRECT"}, {"value": {"a": 1}}]
)
def test_what_tells_nothing_of_the_answer_is_refused(said: dict[str, Any]) -> None:
    llm, id = model(GOOD), uuid4()
    told = FeedbackCallback(llm)
    llm.invoke(ASK, {"callbacks": [told], "run_id": id})
    with pytest.raises(ConfigError, match="score"):
        told.create_feedback(id, **said)


def test_an_unknown_run_is_refused() -> None:
    told = FeedbackCallback(model(GOOD))
    with pytest.raises(ConfigError, match="no run with the id"):
        told.create_feedback(uuid4(), score=1.0)
    with pytest.raises(ConfigError, match="which run"):
        told.create_feedback(score=1.0)


def test_feedback_with_one_identity_counts_once_and_late(tmp_path: Path) -> None:
    with Store(tmp_path / "emafusion.sqlite") as store:
        llm, ids = model(GOOD, store=store), [uuid4() for _ in range(20)]
        told = FeedbackCallback(llm)
        for id in ids:
            llm.invoke(ASK, {"callbacks": [told], "run_id": id})
        decision = told.create_feedback(ids[0], score=True, feedback_id="f1")  # late: many were asked since
        for score in (False, True, 0.5):
            told.create_feedback(ids[0], score=score, feedback_id="f1")
        assert heard(llm, decision).truth == 0.5
        store.flush()
        kept = store.decision(decision)
        assert kept is not None
        assert kept["feedback"] == 0.5


ANOTHER_PROCESS = """
import sys
from langchain_core.language_models import FakeListChatModel
from emafusion import Candidate, Price
from langchain_emafusion import ChatEMAFusion, FeedbackCallback

pool = [Candidate(FakeListChatModel(responses=[""]), name="one", price=Price(1, 2))]
llm = ChatEMAFusion(pool, store=sys.argv[1], learning=True)
llm.feedback(sys.argv[2], thumbs=False)
FeedbackCallback(llm).create_feedback(sys.argv[3], score=0.0)
llm.fusion.store.close()
"""


def test_another_process_tells_of_a_decision_through_the_store(tmp_path: Path) -> None:
    path = tmp_path / "emafusion.sqlite"
    with Store(path) as store:
        llm = model(GOOD, store=store)
        ids = [llm.invoke(ASK).response_metadata["emafusion"]["id"] for _ in range(2)]
        store.flush()
        script = [sys.executable, "-c", ANOTHER_PROCESS, str(path), *ids]
        done = subprocess.run(script, env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert llm.fusion.learning is not None
        before = llm.explain(ASK).forecast.p_good[0]
        llm.fusion.learning.sync()
        assert llm.explain(ASK).forecast.p_good[0] < before


def test_many_threads_trace_at_once_and_nothing_stays_open() -> None:
    llm = model(BAD)
    told = FeedbackCallback(llm)
    chain = llm | JsonOutputParser()
    ids = [uuid4() for _ in range(60)]

    def ask(id: UUID) -> bool:
        with pytest.raises(OutputParserException):
            chain.invoke(ASK, {"callbacks": [told], "run_id": id})
        return speaks(llm, told.create_feedback(id, score=0.0)) == "against"

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, ids))
    assert not told._trace._open


# -- with real clients -------------------------------------------------------------------------------------------


def test_thumbs_down_on_the_cheap_one_have_the_dear_one_asked_first(server: LoopbackServer) -> None:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name, "Verona lies on the Adige."))
    pool = [candidate(server, "cheap"), candidate(server, "dear")]
    llm = ChatEMAFusion(pool, judges=[], objective=Objective(usd_value=0.02), learning=QUIET)
    told = FeedbackCallback(llm)
    chain = ChatPromptTemplate.from_template("{question}") | llm | StrOutputParser()

    def ask() -> str:
        server.clear()
        id = uuid4()
        chain.invoke({"question": "Which river runs through Verona?"}, {"callbacks": [told], "run_id": id})
        first = str(server.requests[0]["model"])
        told.create_feedback(id, "user_score", score=first != "cheap")
        return first

    asked = [ask() for _ in range(40)]
    assert asked[0] == "cheap"
    assert asked[-5:] == ["dear"] * 5
