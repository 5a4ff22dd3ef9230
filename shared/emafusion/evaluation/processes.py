"""Work in several processes: folds, budgets, and the reading of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from emafusion.encoders import Encoder, StaticEncoder, load_encoder
from emafusion.learning.table import Answers, LogTable, read_answers
from emafusion.log import LoggedQuery

__all__ = ["EncoderSource", "in_processes", "read_all_answers"]


@dataclass(frozen=True)
class EncoderSource:
    """An encoder on its way to another process: by name and file where it has them, else itself."""

    identity: str | None = None
    path: Path | None = None
    encoder: Encoder | None = None

    @classmethod
    def of(cls, encoder: Encoder) -> EncoderSource:
        if isinstance(encoder, StaticEncoder):  # holds a lock, which cannot travel; its table is a file anyway
            return cls(encoder.identity, encoder._path)
        return cls(encoder=encoder)

    def open(self) -> Encoder:
        """The encoder, in whichever process this is."""
        if self.encoder is not None:
            return self.encoder
        assert self.identity is not None
        shipped = load_encoder("default")
        return shipped if shipped.identity == self.identity else load_encoder(self.identity, path=self.path)


def read_all_answers(
    entries: Sequence[LoggedQuery],
    table: LogTable,
    encoder: Encoder,
    *,
    workers: int = 1,
    progress: Callable[[float], None] = lambda done: None,
) -> Answers:
    """:func:`emafusion.learning.table.read_answers`, in several processes."""
    size = max(1, min(200, -(-len(entries) // workers)))
    chunks = [
        (entries[i : i + size], table.candidates, EncoderSource.of(encoder)) for i in range(0, len(entries), size)
    ]
    parts = in_processes(_read_chunk, chunks, workers, progress)
    return Answers(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("label", "usable", "rules", "known"))
    )


def _read_chunk(chunk: tuple[Sequence[LoggedQuery], tuple[str, ...], EncoderSource]) -> Answers:
    entries, candidates, encoder = chunk
    n, m = len(entries), len(candidates)
    asked = np.array([[name in entry.outcomes for name in candidates] for entry in entries])
    blank = np.full((n, m), np.nan)
    shape = LogTable(candidates, ("",) * n, ("",) * n, np.zeros(n), blank, blank, blank, blank, asked)
    return read_answers(entries, shape, encoder.open())


def in_processes(
    function: Callable[[Any], Any], jobs: Sequence[Any], workers: int, progress: Callable[[float], None]
) -> list[Any]:
    """Results of ``function`` over ``jobs``, in their order.

    Processes are spawned, not forked: forking a program whose libraries hold threads may hang it.
    """
    if workers <= 1 or len(jobs) <= 1:
        out = []
        for done, job in enumerate(jobs, 1):
            out.append(function(job))
            progress(done / len(jobs))
        return out
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        for done, _ in enumerate(as_completed(futures), 1):
            progress(done / len(jobs))
        return [future.result() for future in futures]
