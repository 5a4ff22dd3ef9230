"""Measure final-answer extraction and agreement on a real outcome log.

    EMAFUSION_DATA=<folder with the log> python tests/benchmarks/measure_agreement.py [--log NAME] [--show TASK]

The fields score, answer and reference are read for measuring only. `--show` prints pairs that both scored 1 but
disagree.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from emafusion.answers import FinalAnswer, cluster_answers, extract_answer, same_answer

PROBES = ("gpt-4o-mini-2024-07-18", "gemini-1.5-flash")
USEFUL = 0.75
"""Share of the best candidate's mean score from which on a candidate is useful."""
PEERS = (1, 2, 3, 5, 99)
"""How many other candidates, the next cheapest first, are asked for agreement."""


def auroc(signal: list[float], label: list[int]) -> float:
    """Area under the ROC curve, ties counted half; nan when only one class occurs."""
    x, y = np.asarray(signal), np.asarray(label, dtype=bool)
    if y.all() or not y.any():
        return float("nan")
    order = np.argsort(x, kind="stable")
    ranks = np.empty(len(x))
    ranks[order] = np.arange(1, len(x) + 1)
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    return float((ranks[y].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (~y).sum()))


def cheapest_useful(rows: list[dict[str, Any]]) -> list[str]:
    """Useful candidates by mean cost, the cheapest first. Scores choose whom to measure, not what is predicted."""
    cost, score = defaultdict(list), defaultdict(list)
    for row in rows:
        for name, outcome in row["outcomes"].items():
            if outcome.get("cost_usd") is not None and outcome.get("score") is not None:
                cost[name].append(outcome["cost_usd"])
                score[name].append(outcome["score"])
    mean = {name: float(np.mean(found)) for name, found in score.items()}
    useful = [name for name in mean if mean[name] >= USEFUL * max(mean.values())]
    return sorted(useful, key=lambda name: float(np.mean(cost[name])))


def by_peers(rows: list[dict[str, Any]]) -> None:
    """Print the AUROC of the share of peers that agree with the cheapest useful candidate's answer, by task.

    Only prompts and responses go into the signal; the share of peers needs no fitting, so there is nothing to hold out.
    """
    first, *peers = cheapest_useful(rows)
    points: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
    for row in rows:
        prompt = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]
        given = {n: o for n, o in row["outcomes"].items() if n in (first, *peers) and o.get("response") is not None}
        if first not in given or given[first].get("score") is None:
            continue
        asked = [first, *(n for n in peers if n in given)]
        labels = cluster_answers([extract_answer(given[n]["response"], prompt) for n in asked])
        for count in PEERS:
            near = labels[1 : count + 1]
            if near:
                share = sum(label == labels[0] >= 0 for label in near) / len(near)
                for group in (str(row.get("task", "-")), "all"):
                    points[group, count].append((share, int(given[first]["score"] >= 0.5)))
    print(f"\nAUROC of agreement for {first}, the cheapest useful of {len(peers) + 1} useful candidates,")
    print("by how many peers are asked (the next cheapest useful first)")
    print(f"{'task':20s}{'answers':>10s}" + "".join(f"{min(c, len(peers)):>10d}" for c in PEERS))
    for group in sorted({g for g, _ in points}):
        found = [auroc(*(list(x) for x in zip(*points[group, c]))) for c in PEERS]
        print(f"{group:20s}{len(points[group, PEERS[0]]):10d}" + "".join(f"{x:10.3f}" for x in found))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read an outcome log, one JSON object a line."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.decode("utf-8").split("\n") if line]


def measure(rows: list[dict[str, Any]], show: str | None = None) -> dict[str, dict[str, float]]:
    """Return task -> figure name -> value."""
    count: dict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    probes: dict[str, defaultdict[str, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))
    disagreements: list[str] = []
    seconds, responses = 0.0, 0
    for row in rows:
        prompt = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]
        answers: dict[str, FinalAnswer] = {}
        for name, outcome in row["outcomes"].items():
            if outcome.get("response") is None or outcome.get("score") is None:
                continue
            started = time.perf_counter()
            answers[name] = extract_answer(outcome["response"], prompt)
            seconds += time.perf_counter() - started
            responses += 1
        for group in (row.get("task", "-"), "all"):
            c = count[group]
            for name, answer in answers.items():
                c["n"] += 1
                c["extracted"] += answer.kind not in ("none", "text")
                c["malformed"] += not answer.wellformed
                c["malformed_right"] += not answer.wellformed and row["outcomes"][name]["score"] >= 0.5
                given = row["outcomes"][name].get("answer")
                if given is not None:
                    c["given"] += 1
                    c["as_given"] += same_answer(answer, extract_answer(json.dumps({"answer": given}), prompt))
            names = list(answers)
            labels = dict(zip(names, cluster_answers(list(answers.values()))))
            for a, b in itertools.combinations(names, 2):
                scores = row["outcomes"][a]["score"] >= 0.5, row["outcomes"][b]["score"] >= 0.5
                pair = "right" if all(scores) else "wrong" if not any(scores) else "mixed"
                agree = labels[a] == labels[b] >= 0
                c[pair] += 1
                c[f"{pair}_agree"] += agree
                if show == group and pair == "right" and not agree:
                    sides = (f"{n}: {answers[n].kind} {answers[n].value!r} <- {answers[n].raw[:160]!r}" for n in (a, b))
                    disagreements.append(f"{row['id']}\n  " + "\n  ".join(sides))
            for probe in PROBES:
                if probe in labels and len(labels) > 1:
                    same = sum(labels[n] == labels[probe] >= 0 for n in names if n != probe)
                    score = int(row["outcomes"][probe]["score"] >= 0.5)
                    probes[group][probe].append((same / (len(names) - 1), score))
    random.Random(0).shuffle(disagreements)
    print("\n".join(disagreements[:60]))
    print(f"{1e3 * seconds / max(1, responses):.3f} ms a response")
    table = {}
    for group, c in count.items():
        table[group] = {
            "responses": c["n"],
            "extracted": c["extracted"] / max(1, c["n"]),
            "as given": c["as_given"] / c["given"] if c["given"] else float("nan"),
            "malformed": c["malformed"] / max(1, c["n"]),
            "score if malf.": c["malformed_right"] / c["malformed"] if c["malformed"] else float("nan"),
            "right agree": c["right_agree"] / max(1, c["right"]),
            "mixed agree": c["mixed_agree"] / max(1, c["mixed"]),
            "wrong agree": c["wrong_agree"] / max(1, c["wrong"]),
        }
        for probe in PROBES:
            points = probes[group][probe]
            table[group][f"AUROC {probe[:12]}"] = (
                auroc([p[0] for p in points], [p[1] for p in points]) if points else float("nan")
            )
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", default="mix12_train.jsonl.gz")
    parser.add_argument("--show", metavar="TASK")
    arguments = parser.parse_args()
    folder = os.environ.get("EMAFUSION_DATA")
    if not folder:
        raise SystemExit("EMAFUSION_DATA is not set: set it to the folder that holds the outcome log")
    rows = read_log(Path(folder) / arguments.log)
    table = measure(rows, arguments.show)
    columns = list(next(iter(table.values())))
    print(f"{'task':20s}" + "".join(f"{column:>19s}" for column in columns))
    for task, figures in table.items():
        cells = (f"{value:>19}" if isinstance(value, int) else f"{value:19.3f}" for value in figures.values())
        print(f"{task:20s}" + "".join(cells))
    by_peers(rows)


if __name__ == "__main__":
    main()
