"""What several processes do to one store at the same time; run as ``python -m tests.store.workers TASK URL [COUNT]``.

The processes are forked once everything is imported and before anything is opened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from emafusion.store import Store
from tests.store.decisions import answered, of_any_length
from tests.store.observed import observed, words

OBSERVATIONS = 240


def open_it(url: str, number: int, count: int) -> None:
    """Open a database that is not there yet, and write one decision."""
    with Store(url) as store:
        store.record(*answered(f"d{number}"))


def learn(url: str, number: int, count: int) -> None:
    """Send judges' words on one share of the observations and users' on another, in order, each of them twice."""
    with Store(url) as store:
        for i in range(OBSERVATIONS):
            judged, told = words(i)
            if i % count == number:
                for word in judged:
                    store.learn([observed(i, judge=word)] * 2)
            if (i + 1) % count == number:
                for word in told:
                    store.learn([observed(i, truth=word)] * 2)
            if (i + 2) % count == number:  # and a third process has heard the last word as well
                store.learn([observed(i, judge=judged[-1])])
            if i % 20 == 0:
                assert store.flush()  # many small transactions, so that they meet
        assert store.flush()
        assert store.dropped == 0


def write(url: str, number: int, count: int) -> None:
    """Record one share of the decisions, some of them twice; each candidate's answers are as long as chance has it."""
    with Store(url) as store:
        for i in range(number, OBSERVATIONS, count):
            for _ in range(1 + i % 2):
                store.record(*of_any_length(i))
            if i % 7 == 0:
                assert store.flush()
        assert store.flush()
        assert store.dropped == 0


def write_until_killed(url: str, folder: str) -> None:
    """Put 10,000 decisions in the queue, say so, and write them until somebody puts an end to it."""
    store = Store(url, capacity=20_000, spill=folder or None)
    query, result = answered("d")
    for i in range(10_000):
        store.record(query, replace(result, decision=replace(result.decision, id=f"d{i}")))
    os.write(1, b"queued\n")
    store.flush(600.0)


def run(task: str, url: str, count: int) -> None:
    """Do a task in so many processes at the same time, and wait for them."""
    arguments = [sys.executable, "-m", "tests.store.workers", task, url, str(count)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def main() -> None:
    task, url, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if task == "write_until_killed":
        write_until_killed(url, *rest)
        return
    count = int(rest[0])
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                {"open": open_it, "learn": learn, "write": write}[task](url, number, count)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    sys.exit(len(failed))


if __name__ == "__main__":
    main()
