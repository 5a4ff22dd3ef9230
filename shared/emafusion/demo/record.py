"""Record what models answer to the demo's prompts, over any OpenAI-compatible server, into an outcome log.

    python -m emafusion.demo.record --base-url http://127.0.0.1:11434/v1 --models small,large -o log.jsonl.gz
    python -m emafusion.demo.record --gguf model.gguf --name small -o log.jsonl.gz --resume

Every prompt once at temperature 0, one after the other, so that the times are clean; a share of the prompts also
several times at a higher temperature, together. Finished calls go to ``FILE.journal`` at once: ``--resume`` goes on
there, and adds further models to the same log.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emafusion.clients.local import LocalServer
from emafusion.demo.compile import CpuPrice, ModelCard, file_sha256, write_log, write_model_cards
from emafusion.demo.journal import GREEDY, Call, Journal, prompts_digest
from emafusion.demo.processor import cpu_seconds
from emafusion.demo.prompts import DemoPrompt, load_prompts, sampled_ids

if TYPE_CHECKING:
    from openai import OpenAI

_FIRST_TOKENS = 6


@dataclass(frozen=True)
class Server:
    """Where the models answer, and the process to read processor time from when it is our own."""

    base_url: str
    pid: int | None = None
    threads: int = 1
    api_key: str = "unused"


@dataclass(frozen=True)
class Plan:
    """What to ask: which prompts, how long answers may get, and for what share of them samples at which temperature."""

    prompts: tuple[DemoPrompt, ...]
    max_tokens: int = 160
    samples: int = 4
    sample_share: float = 0.34
    temperature: float = 0.8

    def settings(self) -> dict[str, object]:
        """What must not change when a recording is resumed."""
        return {
            "prompts": prompts_digest(self.prompts),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }

    def sampled(self) -> list[DemoPrompt]:
        """The prompts that are also answered several times, in order."""
        chosen = sampled_ids(self.prompts, self.sample_share) if self.samples else frozenset()
        return [prompt for prompt in self.prompts if prompt.id in chosen]


def record(server: Server, models: list[str], plan: Plan, journal: Journal, *, progress: bool = True) -> None:
    """Make every call of `plan` that the journal does not hold yet."""
    from openai import OpenAI

    with OpenAI(base_url=server.base_url, api_key=server.api_key, timeout=600, max_retries=2) as client:
        for model in models:
            _record_greedy(client, server, model, plan, journal, progress)
            _record_samples(client, model, plan, journal, progress)


def _record_greedy(client: OpenAI, server: Server, model: str, plan: Plan, journal: Journal, progress: bool) -> None:
    """Every prompt once at temperature 0, strictly one after the other."""
    with _bar(f"{model}, temperature 0", len(plan.prompts), progress) as advance:
        for prompt in plan.prompts:
            if (model, prompt.id, GREEDY) not in journal:
                journal.add(model, prompt.id, GREEDY, _timed(client, server, model, prompt, plan))
            advance()


def _record_samples(client: OpenAI, model: str, plan: Plan, journal: Journal, progress: bool) -> None:
    """The samples of the chosen prompts, those of one prompt at the same time."""
    sampled = plan.sampled()
    with _bar(f"{model}, {plan.samples} samples", len(sampled), progress and bool(sampled)) as advance:
        for prompt in sampled:
            missing = [k for k in range(plan.samples) if (model, prompt.id, k) not in journal]
            for k, call in _together(client, model, prompt, plan, missing):
                journal.add(model, prompt.id, k, call)
            advance()


def _timed(client: OpenAI, server: Server, model: str, prompt: DemoPrompt, plan: Plan) -> Call:
    """One call at temperature 0 with its wall seconds and, for a server of our own, its processor seconds."""
    busy = cpu_seconds(server.pid) if server.pid else None
    started = time.perf_counter()
    call = _ask(client, model, prompt.prompt, plan.max_tokens, temperature=0.0, seed=0)
    call["latency_s"] = round(time.perf_counter() - started, 4)
    after = cpu_seconds(server.pid) if server.pid else None
    if busy is not None and after is not None:
        call |= {"cpu_s": round(after - busy, 3), "threads": server.threads}
    return call


def _together(
    client: OpenAI, model: str, prompt: DemoPrompt, plan: Plan, wanted: list[int]
) -> Iterator[tuple[int, Call]]:
    """The `wanted` samples of one prompt, asked at the same time, each with its own seed."""

    def one(k: int) -> Call:
        seed = zlib.crc32(f"{prompt.id}:{k}".encode())
        return _ask(client, model, prompt.prompt, plan.max_tokens, temperature=plan.temperature, seed=seed)

    if wanted:
        with ThreadPoolExecutor(len(wanted)) as pool:
            yield from zip(wanted, pool.map(one, wanted))


def _ask(client: OpenAI, model: str, prompt: str, max_tokens: int, *, temperature: float, seed: int) -> Call:
    """One chat completion as the plain fields of a journal line."""
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        logprobs=True,
    )
    choice = completion.choices[0]
    usage = completion.usage
    call: Call = {"response": choice.message.content or "", "finish_reason": choice.finish_reason}
    if usage is not None:
        call |= {"in_tok": usage.prompt_tokens, "out_tok": usage.completion_tokens}
    content = choice.logprobs.content if choice.logprobs else None
    if content:
        each = [token.logprob for token in content]
        call |= {
            "logprob_mean": round(sum(each) / len(each), 3),
            "logprob_min": round(min(each), 3),
            "logprob_first": [round(value, 3) for value in each[:_FIRST_TOKENS]],
        }
    return call


@contextmanager
def _bar(title: str, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A progress bar over `total` steps; yields the function that makes one step."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not shown) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda: progress.advance(bar)


def main(arguments: list[str] | None = None) -> None:
    """The command line: record, then write the log and the model cards beside it."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        load_prompts()[:: options.every], options.max_tokens, options.samples, options.sample_share, options.temperature
    )
    price = CpuPrice(options.usd_per_core_hour, options.cores)
    journal = Journal(Path(f"{options.out}.journal"), plan.settings(), resume=options.resume)
    if options.gguf:
        name = options.name or options.gguf.stem
        card = ModelCard(
            name, options.title, options.licence, options.source, file_sha256(options.gguf), *_when(options)
        )
        cards = [card]
        slots = max(1, options.samples)
        with LocalServer(options.gguf, name, context=2048, threads=options.threads, parallel=slots) as local:
            record(Server(local.base_url, local.pid, options.threads), [name], plan, journal)
    else:
        names = [name.strip() for name in options.models.split(",") if name.strip()]
        cards = [ModelCard(name, options.title, options.licence, options.source, "", *_when(options)) for name in names]
        record(Server(options.base_url, api_key=options.api_key), names, plan, journal)
    written = write_log(journal, plan.prompts, options.out, price)
    write_model_cards(options.out.with_name("models.json"), cards, journal, price)
    print(f"{options.out}: {written} prompts")


def _when(options: argparse.Namespace) -> tuple[str, str]:
    """The date of the recording and the machine as the caller describes it."""
    return time.strftime("%Y-%m-%d"), options.machine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emafusion.demo.record", description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--base-url", help="an OpenAI-compatible server, such as http://127.0.0.1:11434/v1")
    where.add_argument("--gguf", type=Path, help="a model file: served locally for the recording (extra `local`)")
    parser.add_argument("--models", default="default", help="names of the server's models, separated by commas")
    parser.add_argument("--name", help="the candidate name of the --gguf model")
    parser.add_argument("--api-key", default="unused")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the log to write, .jsonl or .jsonl.gz")
    parser.add_argument("--resume", action="store_true", help="go on with the journal that is beside the log")
    parser.add_argument("--every", type=int, default=1, help="only every n-th prompt, for a pilot")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--samples", type=int, default=4, help="answers at the higher temperature; 0 for none")
    parser.add_argument("--sample-share", type=float, default=0.34, help="share of the prompts that get samples")
    parser.add_argument("--temperature", type=float, default=0.8, help="of the samples")
    parser.add_argument("--usd-per-core-hour", type=float, default=0.04)
    parser.add_argument("--cores", type=int, default=2, help="to charge where only wall seconds are known")
    parser.add_argument("--threads", type=int, default=1, help="of the --gguf server; its times are cleanest with 1")
    for text in ("title", "licence", "source", "machine"):
        parser.add_argument(f"--{text}", default="", help=f"the {text} to state in models.json")
    return parser


if __name__ == "__main__":
    main()
