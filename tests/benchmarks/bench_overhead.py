"""Measure what EMAFusion adds to a request, in milliseconds, and what its import takes.

    python tests/benchmarks/bench_overhead.py [--queries 2000] [--runs 200] [--json] [--profile]

A router is fitted on a synthetic log, for a pool of ordinary size and for a large one; then each part runs many times
on queries that it has not seen. Beside the median of the wall time stands that of the processor time, which a busy
machine does not disturb. ``--profile`` shows where the decision's time goes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from emafusion import Candidate, Objective, Price
from emafusion.asked import build_query
from emafusion.encoders import default_encoder
from emafusion.encoders.base import Encoder
from emafusion.estimators.beliefs import Evidence
from emafusion.fusion import Fusion
from emafusion.learning.fitting import fit_router
from emafusion.policies.planning import plan
from emafusion.policies.problem import Problem
from emafusion.routers.artefact import RoutingModel, save_router
from emafusion.taxonomy.classifier import TaxonomyClassifier
from emafusion.types import Message, Query

CANDIDATES, MANY = 12, 50
BATCH = 10_000
CHEAP = Objective(usd_value=1e-6)
"""Takes one cheap answer; the default asks until it is sure, which takes several calls."""
SETTINGS: dict[str, tuple[Objective, tuple[()] | None]] = {
    "cheap": (CHEAP, ()),
    "cheap, with a judge": (CHEAP, None),
    "no judge": (Objective(), ()),
    "by default": (Objective(), None),
}
"""Objective, and judges: none, or the one that is drawn from the pool."""
REQUEST_GOAL, LOOP_GOAL = 3.0, 1.0
"""Milliseconds that a request may cost besides its one call, and in a tool loop."""
SHORT_WORDS, LONG_WORDS = 12, 1500
TOPICS = {
    "arithmetic": "How many {} are left if {} of {} boxes with {} each are sold and the rest is shared among {}?",
    "code": "Write a function that returns the {} of a list of {} after {} steps, and explain line {} of {}.",
    "history": "Which treaty ended the war about {} between {} and {}, and why did {} refuse {}?",
    "extraction": "From the letter about {} take the name, the {} and the date of {}; ignore {} and {}.",
}
NOUNS = [
    "apples", "trains", "numbers", "letters", "kings", "rivers", "tables", "stars", "matrices", "prices", "songs",
    "doctors", "engines", "maps", "bridges",
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One part: medians and 90th percentile over ``runs``, in milliseconds, with its goal where it has one."""

    name: str
    runs: int
    wall_ms: float
    wall_p90_ms: float
    cpu_ms: float
    goal_ms: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median of the processor time keeps the goal."""
        return None if self.goal_ms is None else self.cpu_ms <= self.goal_ms

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def prompts(n: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """(topic, prompt) pairs, all different."""
    topics = list(TOPICS)
    return [
        (topic, f"{TOPICS[topic].format(*rng.choice(NOUNS, 5))} ({i})")
        for i, topic in enumerate(topics[k] for k in rng.integers(0, len(topics), n))
    ]


def synthetic_log(n: int, candidates: int = CANDIDATES, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Outcomes whose quality depends on topic and candidate, dearer candidates being better."""
    rng = np.random.default_rng(seed)
    strength = {topic: rng.normal(0.0, 1.0, candidates) + np.linspace(-1.0, 2.0, candidates) for topic in TOPICS}
    for i, (topic, prompt) in enumerate(prompts(n, rng)):
        right = rng.random(candidates) < 1.0 / (1.0 + np.exp(-strength[topic]))
        truth = int(rng.integers(10, 99))
        wrong = rng.integers(100, 110, candidates)
        outcomes = {}
        for j in range(candidates):
            in_tok, out_tok = 40, int(60 + 10 * rng.random() + 5 * j)
            outcomes[name(j)] = {
                "score": float(right[j]),
                "response": f"Step by step we get there. The answer is {truth if right[j] else wrong[j]}.",
                "in_tok": in_tok,
                "out_tok": out_tok,
                "cost_usd": cost(price(j, candidates), in_tok, out_tok),
            }
        yield {"id": f"q{i}", "prompt": prompt, "outcomes": outcomes}


def name(j: int) -> str:
    return f"model-{j:02d}"


def price(j: int, candidates: int = CANDIDATES) -> Price:
    """From 0.05 USD per million tokens to 176 times as much, whatever the number of candidates."""
    dearer = 1.6 ** (11.0 * j / (candidates - 1))
    return Price(input=0.05 * dearer, output=0.2 * dearer)


def cost(charged: Price, in_tok: int, out_tok: int) -> float:
    return (in_tok * charged.input + out_tok * charged.output) / 1e6


class Remembered:
    """An encoder whose vectors were computed before the clock starts."""

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        self.identity, self.dim = encoder.identity, encoder.dim
        self._vectors: dict[str, NDArray[Any]] = dict(zip(texts, np.asarray(encoder.encode(texts))))

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        if len(texts) == 1:
            return self._vectors[texts[0]].reshape(1, -1)
        return np.stack([self._vectors[text] for text in texts])


def measure(
    part: str, run: Callable[[int], object], runs: int, goal_ms: float | None = None, warm: int = 10
) -> Measured:
    """Run ``run(i)`` for i in 0..runs-1, after a few rounds to warm up."""
    for i in range(min(warm, runs)):
        run(i)
    wall, cpu = [], []
    for i in range(runs):
        began, busy = time.perf_counter(), time.process_time()
        run(i)
        cpu.append(1e3 * (time.process_time() - busy))
        wall.append(1e3 * (time.perf_counter() - began))
    ninetieth = statistics.quantiles(wall, n=10)[-1]
    return Measured(part, runs, statistics.median(wall), ninetieth, statistics.median(cpu), goal_ms)


def added(part: str, with_it: Measured, without: Measured, goal_ms: float | None = None) -> Measured:
    """The difference of two measurements."""
    return Measured(
        part,
        with_it.runs,
        with_it.wall_ms - without.wall_ms,
        with_it.wall_p90_ms - without.wall_p90_ms,
        with_it.cpu_ms - without.cpu_ms,
        goal_ms,
    )


def measure_first_labels(runs: int, goal_ms: float) -> Measured:
    """The first use of encoder and taxonomy in fresh processes, after the import."""
    program = (
        "import time; from emafusion.taxonomy.classifier import TaxonomyClassifier; "
        "w, c = time.perf_counter(), time.process_time(); "
        "TaxonomyClassifier().classify(['How many apples are left?']); "
        "print(time.perf_counter() - w, time.process_time() - c)"
    )
    return _in_fresh_processes("first labels of a process", program, runs, goal_ms)


def measure_first_decision(router: RoutingModel, text: str, runs: int) -> Measured:
    """The first request of fresh processes: import, the router's file, construction, and the decision itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "router.json"
        save_router(router, path)
        program = (
            "import time; w, c = time.perf_counter(), time.process_time(); "
            "from emafusion import Candidate, Price; from emafusion.asked import build_query; "
            "from emafusion.fusion import Fusion; from emafusion.types import Message; "
            f"pool = [Candidate(None, name=n, price=Price(input=1, output=2)) for n in {list(router.candidates)!r}]; "
            f"fusion = Fusion(pool, router={str(path)!r}); "
            f"next(fusion.steps(build_query([Message('user', {text!r})]))); "
            "print(time.perf_counter() - w, time.process_time() - c)"
        )
        return _in_fresh_processes("import, router and first decision of a process", program, runs, None)


def measure_import(module: str, runs: int, goal_ms: float | None = None) -> Measured:
    """``import module`` in fresh processes, without the start of the interpreter."""
    program = (
        "import time; w, c = time.perf_counter(), time.process_time(); "
        f"import {module}; print(time.perf_counter() - w, time.process_time() - c)"
    )
    return _in_fresh_processes(f"import {module}", program, runs, goal_ms)


def _in_fresh_processes(part: str, program: str, runs: int, goal_ms: float | None) -> Measured:
    """Run a program that prints seconds of wall and of processor time."""
    wall, cpu = [], []
    for _ in range(runs + 1):  # the first one may have to compile
        out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
        wall.append(1e3 * float(out[0]))
        cpu.append(1e3 * float(out[1]))
    ninetieth = statistics.quantiles(wall[1:], n=10)[-1] if runs > 1 else wall[-1]
    return Measured(part, runs, statistics.median(wall[1:]), ninetieth, statistics.median(cpu[1:]), goal_ms)


# -- the parts ---------------------------------------------------------------------------------------------------


def fusion_of(router: RoutingModel, encoder: Encoder | None = None) -> Fusion:
    m = len(router.candidates)
    pool = [Candidate(None, name=name(j), price=price(j, m)) for j in range(m)]
    return Fusion(pool, router=router, encoder=encoder)


def query_of(text: str) -> Query:
    return build_query([Message("user", text)])


def decide(fusion: Fusion, query: Query) -> None:
    """From a query to the first call."""
    steps = fusion.steps(query)
    next(steps)
    steps.close()


def decision_parts(router: RoutingModel, texts: list[str], runs: int) -> list[Measured]:
    encoder = default_encoder()
    queries = [query_of(text) for text in texts]
    bare = fusion_of(router, Remembered(encoder, [q.text for q in queries]))
    whole = fusion_of(router, encoder)
    rng = np.random.default_rng(2)
    long = [" ".join(rng.choice(NOUNS, LONG_WORDS)) for _ in range(20)]
    n = len(queries)
    return [
        measure("decision without encoding", lambda i: decide(bare, queries[i % n]), runs, 2.0),
        measure("decision with encoding", lambda i: decide(whole, queries[i % n]), runs, 10.0),
        measure(f"encoding {SHORT_WORDS}-20 words", lambda i: encoder.encode([texts[i % n]]), runs),
        measure(f"encoding {LONG_WORDS} words", lambda i: encoder.encode([long[i % 20]]), max(20, runs // 4)),
        measure("build_query", lambda i: query_of(texts[i % n]), runs),
        measure("Fusion.explain", lambda i: whole.explain(queries[i % n]), runs),
    ]


def large_pool_parts(router: RoutingModel, texts: list[str], runs: int) -> list[Measured]:
    queries = [query_of(text) for text in texts]
    bare = fusion_of(router, Remembered(default_encoder(), [q.text for q in queries]))
    part = f"decision without encoding, {len(router.candidates)} candidates"
    return [measure(part, lambda i: decide(bare, queries[i % len(queries)]), runs, 5.0)]


def batch_part(router: RoutingModel) -> Measured:
    """Forecasts and first moves of thousands of queries whose vectors are there, in one batch."""
    texts = [text for _, text in prompts(BATCH, np.random.default_rng(3))]
    vectors = np.asarray(default_encoder().encode(texts))
    classifier = TaxonomyClassifier()
    usd = np.array([(p.input, p.output) for p in (router.prices[n] for n in router.candidates)]) / 1e6

    def first_moves(_: int) -> None:
        known = router.forecaster.predict(texts, vectors, classifier.categories(texts, vectors))
        rho, eps = router.regions.predict(vectors)
        nothing = np.zeros(known.p.shape, dtype=bool)
        belief = router.belief
        evidence = Evidence(
            right=belief.difficulty.right(known.p),
            log_nodes=np.log(belief.difficulty.grid()[1]),
            ran=nothing,
            label=np.full(known.p.shape, -1),
            llr=np.zeros(known.p.shape),
            eps=eps,
            rho=rho,
        )
        expected = known.in_tok * usd[:, 0] + known.out_tok * usd[:, 1]
        plan(Problem(evidence, known.p, expected, ~nothing, nothing, np.full(BATCH, 1e-3)), belief.calibration)

    return measure(f"{BATCH:,} decisions in one batch", first_moves, 3, 5000.0, warm=1)


def langchain_parts(router: RoutingModel, texts: list[str], runs: int) -> list[Measured]:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_emafusion import ChatEMAFusion

    class NoOp(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "no-op"

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage("The answer is 42."))])

    def loop(text: str) -> list[BaseMessage]:
        call = {"name": "lookup", "args": {"key": "apples"}, "id": "call-1"}
        return [HumanMessage(text), AIMessage("", tool_calls=[call]), ToolMessage("42", tool_call_id="call-1")]

    alone = NoOp()
    pool = [Candidate(NoOp(), name=name(j), price=price(j)) for j in range(CANDIDATES)]
    n, loops = len(texts), [loop(text) for text in texts]
    one = measure("LangChain model alone", lambda i: alone.invoke(texts[i % n]), runs)
    in_loop = measure("LangChain model alone, in a tool loop", lambda i: alone.invoke(loops[i % n]), runs)
    parts = [one, in_loop]
    for title, (objective, judges) in SETTINGS.items():
        calls: list[int] = []
        model = ChatEMAFusion(pool, router=router, judges=judges, objective=objective)

        def ask(i: int, fused: ChatEMAFusion = model, calls: list[int] = calls) -> None:
            told = fused.invoke(texts[i % n]).response_metadata["emafusion"]
            calls.append(len(told["attempts"]) + sum(v["judge"] == "llm" for v in told["verdicts"]))

        ours = measure("ChatEMAFusion.invoke", ask, runs)
        goal = REQUEST_GOAL if statistics.mean(calls) < 1.5 else None
        parts.append(added(f"added by ChatEMAFusion, {title}: {statistics.mean(calls):.1f} calls", ours, one, goal))

    def go_on(i: int) -> None:
        assert model.invoke(loops[i % n]).response_metadata["emafusion"]["sticky"]

    for text in texts:
        model.invoke(text)
    ours = measure("ChatEMAFusion.invoke in a tool loop", go_on, runs)
    parts.append(added("added by ChatEMAFusion in a tool loop", ours, in_loop, LOOP_GOAL))
    return parts


def llamaindex_parts(router: RoutingModel, texts: list[str], runs: int) -> list[Measured]:
    from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata, MessageRole
    from llama_index.core.llms.callbacks import llm_completion_callback

    from llamaindex_emafusion import EMAFusion

    class NoOp(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name="no-op")

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text="The answer is 42.")

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            yield self.complete(prompt)

    def loop(text: str) -> list[ChatMessage]:
        call = {"id": "call-1", "type": "function", "function": {"name": "lookup", "arguments": '{"key": "apples"}'}}
        return [
            ChatMessage(role=MessageRole.USER, content=text),
            ChatMessage(role=MessageRole.ASSISTANT, content="", additional_kwargs={"tool_calls": [call]}),
            ChatMessage(role=MessageRole.TOOL, content="42", additional_kwargs={"tool_call_id": "call-1"}),
        ]

    alone = NoOp()
    pool = [Candidate(NoOp(), name=name(j), price=price(j)) for j in range(CANDIDATES)]
    n, loops = len(texts), [loop(text) for text in texts]
    one = measure("LlamaIndex model alone", lambda i: alone.complete(texts[i % n]), runs)
    in_loop = measure("LlamaIndex model alone, in a tool loop", lambda i: alone.chat(loops[i % n]), runs)
    parts = [one, in_loop]
    for title, (objective, judges) in SETTINGS.items():
        calls: list[int] = []
        model = EMAFusion(pool, router=router, judges=judges, objective=objective)

        def ask(i: int, fused: EMAFusion = model, calls: list[int] = calls) -> None:
            told = fused.complete(texts[i % n]).additional_kwargs["emafusion"]
            calls.append(len(told["attempts"]) + sum(v["judge"] == "llm" for v in told["verdicts"]))

        ours = measure("EMAFusion.complete", ask, runs)
        goal = REQUEST_GOAL if statistics.mean(calls) < 1.5 else None
        parts.append(added(f"added by EMAFusion, {title}: {statistics.mean(calls):.1f} calls", ours, one, goal))

    def go_on(i: int) -> None:
        assert model.chat(loops[i % n]).additional_kwargs["emafusion"]["sticky"]

    for text in texts:
        model.complete(text)
    ours = measure("EMAFusion.chat in a tool loop", go_on, runs)
    parts.append(added("added by EMAFusion in a tool loop", ours, in_loop, LOOP_GOAL))
    return parts


def profile(router: RoutingModel, texts: list[str], runs: int) -> None:
    """Where the decision's time goes, encoding left out."""
    import cProfile
    import pstats

    queries = [query_of(text) for text in texts]
    fusion = fusion_of(router, Remembered(default_encoder(), [q.text for q in queries]))
    for query in queries[:10]:
        decide(fusion, query)
    profiler = cProfile.Profile()
    profiler.enable()
    for i in range(runs):
        decide(fusion, queries[i % len(queries)])
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)


# -- output ------------------------------------------------------------------------------------------------------


@contextmanager
def fitting(console: Console, queries: int) -> Iterator[Callable[[str, float], None]]:
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fitting", total=1.0)
        yield lambda stage, done: bar.update(task, completed=done, description=f"fitting on {queries} queries: {stage}")


def table_of(rows: Sequence[Measured]) -> Table:
    table = Table(title=f"Overhead of routing among {CANDIDATES} candidates (medians)", title_justify="left")
    for heading in ("", "wall ms", "90 % below", "CPU ms", "goal ms", "met", "runs"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        goal = "" if row.goal_ms is None else f"{row.goal_ms:g}"
        met = {None: "", True: "yes", False: "[red]no"}[row.met]
        table.add_row(
            row.name, f"{row.wall_ms:.2f}", f"{row.wall_p90_ms:.2f}", f"{row.cpu_ms:.2f}", goal, met, str(row.runs)
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--queries", type=int, default=2000, help="length of the synthetic log that the router is fitted on"
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="write one JSON object to stdout")
    parser.add_argument("--profile", action="store_true", help="profile the decision, to stderr")
    options = parser.parse_args(arguments)
    progress_console = Console(stderr=True)
    with fitting(progress_console, options.queries) as progress:
        router, _ = fit_router(synthetic_log(options.queries), progress=progress)
    with fitting(progress_console, options.queries) as progress:
        large, _ = fit_router(synthetic_log(options.queries, MANY), progress=progress)
    texts = [text for _, text in prompts(max(50, options.runs), np.random.default_rng(1))]
    if options.profile:
        profile(router, texts, options.runs)
    parts: list[Callable[[], list[Measured]]] = [
        lambda: decision_parts(router, texts, options.runs),
        lambda: large_pool_parts(large, texts, options.runs),
        lambda: [batch_part(router)],
        lambda: langchain_parts(router, texts, options.runs),
        lambda: llamaindex_parts(router, texts, options.runs),
        lambda: [measure_import("emafusion", 7, 500.0), measure_import("emafusion.fusion", 7)],
        lambda: [measure_first_labels(7, 200.0), measure_first_decision(router, texts[0], 7)],
    ]
    rows: list[Measured] = []
    shown = track(
        parts, "measuring", console=progress_console, transient=True, disable=not progress_console.is_terminal
    )
    for part in shown:
        rows += part()
    if options.json:
        print(json.dumps({row.name: row.as_dict() for row in rows}, indent=2))
        return
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table_of(rows))


if __name__ == "__main__":
    main()
