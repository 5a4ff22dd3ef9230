"""Record how often each model of a log calls its own answers correct (AutoMix's self-verification), into that log.

    python -m emafusion.demo.record_verifications --gguf model.gguf --name small --log log.jsonl.gz --minutes 15
    python -m emafusion.demo.record_verifications --base-url URL --name small --log log.jsonl.gz

Answers are verified in a seeded order, so that an interrupted recording covers a random part of the log; answers that
were not reached have no ``verification``. Finished ones go to ``FILE.verifications.journal`` at once, and a recording
goes on there. An outcome gets ``verification``, 1 or 0 for each sample that could be read, and ``verification_usd``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import time
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emafusion.clients.local import LocalServer
from emafusion.demo.compile import CpuPrice
from emafusion.demo.journal import Call, Journal
from emafusion.demo.processor import cpu_seconds
from emafusion.demo.record import Server
from emafusion.judges.self_verification import SelfVerification, says_correct
from emafusion.log import LoggedQuery, read_log
from emafusion.types import Reply

if TYPE_CHECKING:
    from openai import OpenAI

ORDER_SEED = 11
VERIFIED = -2
"""The sample number under which the journal keeps an answer's verification."""


def record_verifications(
    server: Server,
    name: str,
    entries: Sequence[LoggedQuery],
    judge: SelfVerification,
    journal: Journal,
    *,
    seconds: float = float("inf"),
) -> int:
    """Verify ``name``'s answers that the journal does not hold yet, for about so many seconds; returns how many."""
    from openai import OpenAI

    order = [entry for entry in entries if name in entry.outcomes and entry.outcomes[name].response is not None]
    random.Random(ORDER_SEED).shuffle(order)
    started, done = time.monotonic(), 0
    with OpenAI(base_url=server.base_url, api_key=server.api_key, timeout=600, max_retries=2) as client:
        for entry in order:
            if (name, entry.id, VERIFIED) in journal:
                continue
            if time.monotonic() - started > seconds:
                break
            journal.add(name, entry.id, VERIFIED, _verified(client, server, name, entry, judge))
            done += 1
    return done


def _verified(client: OpenAI, server: Server, name: str, entry: LoggedQuery, judge: SelfVerification) -> Call:
    """The samples on one answer, one after the other: a server then reads the prompt once."""
    busy = cpu_seconds(server.pid) if server.pid else None
    started = time.perf_counter()
    answer = Reply(entry.outcomes[name].response or "")
    said: list[str] = []
    tokens = [0, 0]
    for k, call in enumerate(judge.calls(entry.query(), answer, name, name)):
        messages: Any = [{"role": turn.role, "content": turn.text} for turn in call.prompt or ()]
        completion = client.chat.completions.create(
            model=name,
            messages=messages,
            max_tokens=call.max_output_tokens,
            temperature=call.temperature,
            seed=zlib.crc32(f"{entry.id}:{name}:{k}".encode()),
        )
        said.append(completion.choices[0].message.content or "")
        if completion.usage is not None:
            tokens = [completion.usage.prompt_tokens, tokens[1] + completion.usage.completion_tokens]
    out: Call = {"said": said, "in_tok": tokens[0], "out_tok": tokens[1]}
    out["latency_s"] = round(time.perf_counter() - started, 4)
    after = cpu_seconds(server.pid) if server.pid else None
    if busy is not None and after is not None:
        out["cpu_s"] = round(after - busy, 3)
    return out


def add_verifications(path: Path, journal: Journal, price: CpuPrice) -> int:
    """Write what the journal holds into the log; returns how many answers have a verification now."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [json.loads(line) for line in text.decode().splitlines()]
    count = 0
    for line in lines:
        for name, outcome in line["outcomes"].items():
            call = journal.calls.get((name, line["id"], VERIFIED))
            if call is not None:
                said = call["said"]
                assert isinstance(said, list)
                for field in ("verification", "verification_usd"):
                    outcome.pop(field, None)
                # An answer none of whose samples could be read was paid for, and has no share.
                if verdicts := [int(v) for v in map(says_correct, said) if v is not None]:
                    outcome["verification"] = verdicts
                outcome["verification_usd"] = price.cost_usd(call)
            count += "verification" in outcome
    whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(whole, 9, mtime=0) if path.suffix == ".gz" else whole)
    return count


def journal_of(log: Path, judge: SelfVerification) -> Journal:
    """The journal beside a log: it only goes on with the prompt, the samples and the temperature that it began with."""
    probe = judge.prompt(LoggedQuery(id="", prompt="", outcomes={}).query(), Reply(""))
    wording = hashlib.sha256(json.dumps([turn.text for turn in probe]).encode()).hexdigest()[:16]
    settings: dict[str, object] = {
        "wording": wording,
        "samples": judge.samples,
        "temperature": judge.temperature,
        "max_tokens": judge.max_output_tokens,
    }
    return Journal(Path(f"{log}.verifications.journal"), settings, resume=True)


def main(arguments: list[str] | None = None) -> None:
    """The command line: verify, then write the verdicts into the log."""
    options = _parser().parse_args(arguments)
    judge = SelfVerification(
        samples=options.samples, temperature=options.temperature, max_output_tokens=options.max_tokens
    )
    journal = journal_of(options.log, judge)
    entries = read_log(options.log)
    with ExitStack() as stack:
        if options.gguf:
            local = stack.enter_context(LocalServer(options.gguf, options.name, context=2048, threads=options.threads))
            server = Server(local.base_url, local.pid, options.threads)
        else:
            server = Server(options.base_url, api_key=options.api_key)
        done = record_verifications(server, options.name, entries, judge, journal, seconds=60.0 * options.minutes)
    count = add_verifications(options.log, journal, CpuPrice(options.usd_per_core_hour, options.cores))
    print(f"{options.log}: {done} answers of {options.name} verified now; {count} have a verification")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emafusion.demo.record_verifications", description=(__doc__ or "").splitlines()[0]
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--base-url", help="an OpenAI-compatible server that has the model")
    where.add_argument("--gguf", type=Path, help="a model file: served locally for the recording (extra `local`)")
    parser.add_argument("--name", required=True, help="the candidate, and what the server calls the model")
    parser.add_argument("--log", type=Path, required=True, help="the outcome log to read and to extend")
    parser.add_argument("--api-key", default="unused")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about so long")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=6, help="room for a sample's verdict")
    parser.add_argument("--threads", type=int, default=1, help="of the --gguf server")
    parser.add_argument("--usd-per-core-hour", type=float, default=0.04)
    parser.add_argument("--cores", type=int, default=2, help="to charge where only wall seconds are known")
    return parser


if __name__ == "__main__":
    main()
