"""A log as arrays over (query, candidate), and what the answers in it look like to the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.answers import FinalAnswer, cluster_answers, extract_answer
from emafusion.config import Price
from emafusion.encoders.base import Encoder
from emafusion.errors import LogError
from emafusion.estimators.beliefs import Array, IntArray
from emafusion.estimators.evidence import RULES, AnswerEvidence
from emafusion.judges.panel import SIMILARITY
from emafusion.judges.rules import rule_verdicts
from emafusion.log import LoggedQuery
from emafusion.types import Query

__all__ = ["ANSWER_ROWS", "Answers", "LogTable", "infer_price", "read_answers", "rows_to_read", "tabulate"]

ANSWER_ROWS = 8_000
"""Queries whose answers are read for a fit: rates of agreement and the weight of evidence need no more of them."""


@dataclass(frozen=True)
class LogTable:
    """A log as arrays; NaN where something is unknown.

    Attributes
    ----------
    candidates : m names, in order of first appearance, sorted
    ids, texts : n strings
        ``texts`` is what is being asked.
    prompt_tokens : (n,)
    score, cost, in_tok, out_tok : (n, m)
    asked : bool (n, m)
        Whether the candidate has an outcome.
    judges : k names
        Those that the log has verdicts of.
    verdicts : (n, m, k) or None
        Their scores in [0, 1], NaN where a judge gave none; None for a log without verdicts.
    heard : bool (n, m, k) or None
        Whether the judge was asked; one that was and gave no score abstained.
    """

    candidates: tuple[str, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    prompt_tokens: Array
    score: Array
    cost: Array
    in_tok: Array
    out_tok: Array
    asked: NDArray[np.bool_]
    judges: tuple[str, ...] = ()
    verdicts: Array | None = None
    heard: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: IntArray) -> LogTable:
        out = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, ids=tuple(self.ids[i] for i in rows), texts=tuple(self.texts[i] for i in rows), **out)


def tabulate(log: Sequence[LoggedQuery], candidates: Sequence[str] | None = None) -> LogTable:
    """Arrays of a log, over ``candidates`` or all that occur.

    Raises
    ------
    LogError
        If a candidate has no cost anywhere: an unknown price is never zero.
    """
    names = tuple(candidates) if candidates is not None else tuple(sorted({c for q in log for c in q.outcomes}))
    column = {name: j for j, name in enumerate(names)}
    shape = (len(log), len(names))
    score, cost, in_tok, out_tok = (np.full(shape, np.nan) for _ in range(4))
    asked = np.zeros(shape, dtype=bool)
    texts, tokens = [], np.zeros(len(log))
    for i, entry in enumerate(log):
        query = entry.query()
        texts.append(query.text)
        tokens[i] = query.prompt_tokens
        for name, outcome in entry.outcomes.items():
            j = column.get(name)
            if j is None:
                continue
            asked[i, j] = True
            for array, value in (
                (score, outcome.score),
                (cost, outcome.cost_usd),
                (in_tok, outcome.in_tok),
                (out_tok, outcome.out_tok),
            ):
                if value is not None:
                    array[i, j] = value
    unpriced = [n for j, n in enumerate(names) if asked[:, j].any() and np.isnan(cost[:, j]).all()]
    if unpriced:
        raise LogError(f"the log has no cost_usd for {', '.join(unpriced)}: an unknown price is never taken as zero")
    ids = tuple(q.id for q in log)
    table = LogTable(names, ids, tuple(texts), tokens, score, cost, in_tok, out_tok, asked)
    return _with_verdicts(table, log)


def _with_verdicts(table: LogTable, log: Sequence[LoggedQuery]) -> LogTable:
    judges = tuple(sorted({j for entry in log for o in entry.outcomes.values() for j in o.verdicts or ()}))
    if not judges:
        return table
    shape = (*table.score.shape, len(judges))
    verdicts, heard = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    place = {judge: k for k, judge in enumerate(judges)}
    for i, entry in enumerate(log):
        for j, name in enumerate(table.candidates):
            outcome = entry.outcomes.get(name)
            for judge, score in ((outcome.verdicts or {}) if outcome else {}).items():
                heard[i, j, place[judge]] = True
                verdicts[i, j, place[judge]] = np.nan if score is None else score
    return replace(table, judges=judges, verdicts=verdicts, heard=heard)


def infer_price(table: LogTable, candidate: str) -> Price:
    """The price per token that explains a candidate's costs: non-negative least squares on its token counts."""
    from scipy.optimize import nnls

    j = table.candidates.index(candidate)
    known = ~np.isnan(table.cost[:, j]) & ~np.isnan(table.in_tok[:, j]) & ~np.isnan(table.out_tok[:, j])
    if known.sum() < 2:
        mean = float(np.nanmean(table.cost[:, j]))
        typical = float(np.mean(table.prompt_tokens)) + 250.0
        return Price(mean / typical * 1e6, mean / typical * 1e6, source="log: mean cost")
    design = np.column_stack([table.in_tok[known, j], table.out_tok[known, j]]) / 1e6
    (inp, out), _ = nnls(design, table.cost[known, j])
    return Price(round(float(inp), 9), round(float(out), 9), source="log: cost by tokens")


@dataclass(frozen=True)
class Answers:
    """What the panel sees in the recorded answers.

    Attributes
    ----------
    label : int (n, m)
        Group of agreeing answers among all of a query's; -1 for none.
    usable : bool (n, m)
    rules : (n, m, r)
        Rule features, see :class:`AnswerEvidence`.
    known : bool (n, m)
        Whether there is a response to look at.
    """

    label: IntArray
    usable: NDArray[np.bool_]
    rules: Array
    known: NDArray[np.bool_]

    def take(self, rows: IntArray) -> Answers:
        return Answers(self.label[rows], self.usable[rows], self.rules[rows], self.known[rows])


def rows_to_read(table: LogTable, seed: int = 0, most: int | None = None) -> IntArray:
    """Rows whose answers a fit reads, ascending: all of a log of ordinary size, else ``most`` of them, at random.

    Rows with a score come first; ``most`` is ``ANSWER_ROWS`` unless given.
    """
    most = ANSWER_ROWS if most is None else most
    if len(table) <= most:
        return np.arange(len(table))
    shuffled = np.random.default_rng(seed).permutation(len(table))
    silent = np.asarray(np.isnan(table.score).all(axis=1))
    return np.sort(shuffled[np.argsort(silent[shuffled], kind="stable")[:most]])


def read_answers(
    log: Sequence[LoggedQuery],
    table: LogTable,
    encoder: Encoder | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> Answers:
    """Extract and group the answers of a log, as the panel would when serving."""
    n, m = table.score.shape
    label = np.full((n, m), -1, dtype=np.int64)
    usable = table.asked.copy()
    known = np.zeros((n, m), dtype=bool)
    rules = np.zeros((n, m, len(RULES) + 2))
    for i, entry in enumerate(log):
        query = entry.query()
        present = [
            (j, o)
            for j, name in enumerate(table.candidates)
            if (o := entry.outcomes.get(name)) and o.response is not None
        ]
        finals = []
        # Candidates often say the same, word for word.
        read: dict[tuple[str, str | None], tuple[FinalAnswer, bool, Array]] = {}
        for j, outcome in present:
            key = outcome.response or "", outcome.finish_reason
            if key not in read:
                read[key] = _read(query, *key)
            final, usable[i, j], rules[i, j] = read[key]
            finals.append(final)
            known[i, j] = True
        vectors = None
        if encoder is not None and sum(f.kind == "text" for f in finals) > 1:
            vectors = encoder.encode([o.response or "" for _, o in present])
        for (j, _), group in zip(present, cluster_answers(finals, vectors, SIMILARITY)):
            label[i, j] = group
        tick(1)
    return Answers(label, usable, rules, known)


def _read(query: Query, text: str, finish_reason: str | None) -> tuple[FinalAnswer, bool, Array]:
    """The final answer of one response, whether it can be used, and what the rules make of it."""
    findings = rule_verdicts(query.text, text, finish_reason, query.schema, query.tools)
    final = extract_answer(text, query.text, (), query.tools)
    features = AnswerEvidence.rule_features(frozenset(f.name for f in findings), final.kind, final.wellformed)
    return final, not any(f.fatal for f in findings), features
