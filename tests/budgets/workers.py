"""Processes that spend one budget, each keeping its own book: ``python -m tests.budgets.workers URL NUMBER SECONDS``.

They are forked from one that has imported everything. The first line printed has their ids, the last what they did.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from emafusion import AllCandidatesFailed, Budget, BudgetExceeded, Budgets, Fusion, Objective
from emafusion.budgets.leases import SharedLedger
from emafusion.engine.drivers import run
from emafusion.judges.llm import LLMJudge
from tests.budgets.billing import LIMIT, BillingTransport, pool
from tests.engine.scripted import ask

BUDGETS = Budgets([Budget(0.08, window="day"), Budget(0.03, per="key", window="month")], output_tokens=LIMIT)
KEYS = "abcd"


def work(url: str, seed: int, seconds: float, begin: Any, done: Any) -> None:
    """Ask until nothing is left; ``seconds`` a call."""
    one = Fusion(pool(), judges=[LLMJudge("mid", max_output_tokens=50)], budgets=BUDGETS, store=url)
    books = {k: BillingTransport(seed + i, fails=0.1, silent=0.1, seconds=seconds) for i, k in enumerate(KEYS)}

    def request(i: int) -> int:
        key = KEYS[i % len(KEYS)]
        try:
            run(one.steps(ask(), Objective(usd_value=100.0), key=key), books[key])
        except (BudgetExceeded, AllCandidatesFailed):
            return 0
        return 1

    answered = request(seed // 100)  # each of another key, and before anyone can have spent what there is
    begin.wait()
    with ThreadPoolExecutor(8) as threads:
        answered += sum(threads.map(request, range(60)))
    assert isinstance(one._ledger, SharedLedger)
    one._ledger.close()
    done.put({"answered": answered, "billed": {key: book.billed for key, book in books.items()}})


def main(url: str, number: int, seconds: float) -> None:
    fork = multiprocessing.get_context("fork")
    done, begin = fork.SimpleQueue(), fork.Barrier(number)
    workers = [fork.Process(target=work, args=(url, 100 * i, seconds, begin, done)) for i in range(number)]
    for worker in workers:
        worker.start()
    print(*(worker.pid for worker in workers), flush=True)
    print(json.dumps([done.get() for _ in workers]))
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
