"""A live workload: a sample of the demo's prompts, answered now by every model of an OpenAI-compatible server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emafusion.config import Price
from emafusion.demo.compile import CpuPrice, token_prices, write_log
from emafusion.demo.journal import GREEDY, Journal
from emafusion.demo.prompts import DemoPrompt, load_prompts, sampled_ids
from emafusion.demo.record import Plan, Server, record
from emafusion.demo.workload import Workload, complete
from emafusion.errors import ConfigError
from emafusion.log import LoggedQuery, read_log
from emafusion.pricing import list_price
from emafusion.types import Usage

__all__ = ["LiveServer", "live_server", "parse_price", "record_live", "unrecorded"]


@dataclass(frozen=True)
class LiveServer:
    """Where the models answer now."""

    base_url: str
    models: tuple[str, ...]
    api_key: str = "unused"

    def client(self) -> Any:
        """An OpenAI client of it."""
        from openai import OpenAI

        return OpenAI(base_url=self.base_url, api_key=self.api_key, timeout=600, max_retries=1)


@contextmanager
def live_server(base_url: str | None, models: str | None, api_key: str | None) -> Iterator[LiveServer]:
    """The server that was named, or SmolLM2 on this machine where none was."""
    if base_url is None:
        from emafusion.clients.local import LocalServer

        # One thread: llama.cpp's threads wait for each other, which on a busy machine takes minutes.
        with LocalServer(name="smollm2-135m", threads=1) as local:
            yield LiveServer(local.base_url, (local.name,))
        return
    names = tuple(dict.fromkeys(name.strip() for name in (models or "").split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--live --base-url {base_url}: say which of its models: --models small,large")
    yield LiveServer(base_url, names, api_key or "unused")


def parse_price(given: str) -> tuple[str, Price]:
    """``name=input,output`` in USD per million tokens.

    Examples
    --------
    >>> parse_price("llama3.2:3b=0.05,0.1")
    ('llama3.2:3b', Price(input=0.05, output=0.1, cached_input=None, source='given'))
    """
    name, _, numbers = given.rpartition("=")
    try:
        first, second = (float(x) for x in numbers.split(","))
    except ValueError:
        raise ConfigError(
            f"--price {given!r}: write name=input,output in USD per million tokens, like llama=0.05,0.1"
        ) from None
    return name, Price(first, second)


def record_live(
    server: LiveServer, prices: dict[str, Price], queries: int, folder: Path, *, progress: bool = True
) -> Workload:
    """Ask every model of the server a sample of the prompts, half to fit on and half to measure on.

    The answers go to ``live-<time>.jsonl.gz`` in ``folder``. Costs are tokens at the price given, else at the list
    price, else the measured seconds at the price of two CPU cores.
    """
    from openai import OpenAIError

    prompts = load_prompts()
    chosen = sampled_ids(prompts, min(1.0, queries / len(prompts)))
    sample = tuple(p for p in prompts if p.id in chosen)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"live-{time.strftime('%Y%m%d-%H%M%S')}.jsonl.gz"
    plan = Plan(sample, samples=0)
    journal = Journal(Path(f"{path}.journal"), plan.settings(), resume=False)
    try:
        record(Server(server.base_url, api_key=server.api_key), list(server.models), plan, journal, progress=progress)
    except OpenAIError as error:
        raise ConfigError(
            f"{server.base_url}: {type(error).__name__}: {error}: is the server running, with those models "
            f"({', '.join(server.models)})?"
        ) from error
    cpu = CpuPrice()
    write_log(journal, sample, path, cpu)
    known = {name: prices.get(name) or list_price(name) for name in server.models}
    priced: dict[str, Price] = {}
    for name, price in known.items():
        calls = [call for (model, _, k), call in journal.calls.items() if model == name and k == GREEDY]
        priced[name] = price or Price(*token_prices(calls, cpu), source="measured seconds")
    entries = [_charged(entry, known) for entry in read_log(path)]
    return Workload(
        fit=complete(entries, server.models, "fit", path),
        test=complete(entries, server.models, "test", path),
        prices=priced,
        origin=f"real answers of {', '.join(server.models)} at {server.base_url}, given just now (kept in {path})",
    )


def unrecorded(workload: Workload, most: int) -> list[DemoPrompt]:
    """Up to ``most`` prompts, of every task alike, that were not asked yet: they are served live."""
    prompts = load_prompts()
    chosen = sampled_ids(prompts, min(1.0, (len(workload.by_prompt) + most) / len(prompts)))
    return [p for p in prompts if p.id in chosen and p.prompt not in workload.by_prompt][:most]


def _charged(entry: LoggedQuery, prices: dict[str, Price | None]) -> LoggedQuery:
    outcomes = dict(entry.outcomes)
    for name, price in prices.items():
        outcome = outcomes.get(name)
        if outcome is not None and price is not None:
            cost = price.cost(Usage(outcome.in_tok or 0, outcome.out_tok or 0))
            outcomes[name] = outcome.model_copy(update={"cost_usd": cost})
    return entry.model_copy(update={"outcomes": outcomes})
