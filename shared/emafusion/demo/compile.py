"""From a journal to the shipped files: the graded outcome log, and the model cards with a price per token."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from emafusion.demo.journal import GREEDY, Call, Journal
from emafusion.demo.prompts import DemoPrompt, split_of

_SAMPLE_FIELDS = ("response", "out_tok", "logprob_mean")
_OUTCOME_FIELDS = (
    "response", "in_tok", "out_tok", "latency_s", "finish_reason", "logprob_mean", "logprob_min", "logprob_first",
)  # fmt: skip


@dataclass(frozen=True)
class CpuPrice:
    """What a second of a local server costs: processor seconds where they are known, else wall seconds on `cores`."""

    usd_per_core_hour: float = 0.04
    cores: int = 2

    def cost_usd(self, call: Call) -> float:
        """USD of one call, from its measured seconds."""
        core_seconds = call["cpu_s"] if "cpu_s" in call else self.cores * _float(call["latency_s"])
        return round(_float(core_seconds) * self.usd_per_core_hour / 3600, 9)


@dataclass(frozen=True)
class ModelCard:
    """What a reader needs to know about a recorded model."""

    name: str
    title: str = ""
    licence: str = ""
    source: str = ""
    sha256: str = ""
    recorded: str = ""
    machine: str = ""


def write_log(journal: Journal, prompts: Sequence[DemoPrompt], path: Path, price: CpuPrice) -> int:
    """Grade the journal's calls and write the outcome log; returns the number of its lines."""
    candidates = list(dict.fromkeys(candidate for candidate, _, sample in journal.calls if sample == GREEDY))
    split = split_of(tuple(prompts))
    records = []
    for prompt in prompts:
        outcomes = {
            candidate: _outcome(journal, candidate, prompt, price)
            for candidate in candidates
            if (candidate, prompt.id, GREEDY) in journal
        }
        if outcomes:
            records.append(
                {
                    "id": prompt.id,
                    "task": prompt.task,
                    "split": split[prompt.id],
                    "prompt": prompt.prompt,
                    "reference": prompt.reference,
                    "outcomes": outcomes,
                }
            )
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    # A fixed time stamp keeps the file the same for the same recording.
    packed = gzip.compress(text.encode(), 9, mtime=0) if path.suffix == ".gz" else text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return len(records)


def _outcome(journal: Journal, candidate: str, prompt: DemoPrompt, price: CpuPrice) -> Call:
    """One candidate's graded answer to one prompt, with its samples when there are any."""
    call = journal.calls[candidate, prompt.id, GREEDY]
    outcome: Call = {"score": prompt.grade(str(call["response"]))}
    outcome |= {field: call[field] for field in _OUTCOME_FIELDS if field in call}
    if "cpu_s" in call:  # what the call would have taken on an idle machine; the wall time says how busy this one was
        threads = _float(call.get("threads", 1))
        outcome |= {"latency_s": round(_float(call["cpu_s"]) / threads, 3), "wall_s": call["latency_s"]}
    outcome["cost_usd"] = price.cost_usd(call)
    if "in_tok" in call:
        outcome["tok_source"] = "usage"
    samples = []
    k = 0
    while (candidate, prompt.id, k) in journal:
        sample = journal.calls[candidate, prompt.id, k]
        graded: Call = {field: sample[field] for field in _SAMPLE_FIELDS if field in sample}
        samples.append(graded | {"score": prompt.grade(str(sample["response"]))})
        k += 1
    if samples:
        outcome["samples"] = samples
    return outcome


def token_prices(calls: Iterable[Call], price: CpuPrice) -> tuple[float, float]:
    """USD per 1M input and output tokens that explain the measured costs best (least squares, neither negative)."""
    rows = [
        (_float(call["in_tok"]), _float(call["out_tok"]), price.cost_usd(call)) for call in calls if "in_tok" in call
    ]
    if not rows:
        return 0.0, 0.0
    table = np.array(rows)
    tokens, cost = table[:, :2], table[:, 2]
    best = np.linalg.lstsq(tokens, cost, rcond=None)[0]
    if (best < 0).any():  # with one price at its bound of 0 the other has a closed form
        alone = tokens.T @ cost / np.maximum((tokens**2).sum(axis=0), 1e-12)
        errors = ((tokens * alone - cost[:, None]) ** 2).sum(axis=0)
        best = np.where(np.arange(2) == errors.argmin(), alone, 0.0)
    return round(float(best[0]) * 1e6, 5), round(float(best[1]) * 1e6, 5)


def write_model_cards(path: Path, cards: Sequence[ModelCard], journal: Journal, price: CpuPrice) -> None:
    """Write or update ``models.json``: who was recorded, and what a token of each costs."""
    known: dict[str, object] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))["models"]
    for card in cards:
        calls = [call for (name, _, sample), call in journal.calls.items() if name == card.name and sample == GREEDY]
        input_usd, output_usd = token_prices(calls, price)
        entry = {key: value for key, value in asdict(card).items() if value and key != "name"}
        known[card.name] = entry | {"input_usd_per_1m": input_usd, "output_usd_per_1m": output_usd}
    basis = {
        "usd_per_core_hour": price.usd_per_core_hour,
        "cost_usd": f"processor seconds of the serving process (elsewhere wall seconds of {price.cores} cores)",
        "latency_s": "processor seconds per serving thread, the time on an idle machine (elsewhere wall seconds)",
        "per_token_prices": "least squares over the temperature-0 calls of each model",
    }
    path.write_text(json.dumps({"price_basis": basis, "models": known}, indent=2) + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """The checksum of a model file."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _float(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"expected a number in the recording, got {value!r}")
    return float(value)
