"""Measure how long a fit takes and how much memory, as the log grows.

    python tests/benchmarks/bench_scaling.py [--sizes 1000,5000,20000] [--candidates 20] [--plot scaling.svg] [--json]

For each size a synthetic log is written to a temporary folder, and a fresh process fits a router on it. The exponent is
the slope of log(seconds) over log(n log n): 1 is growth by n log n, less is better.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":  # run as a file, this folder is on the path and the root is not
    sys.path.insert(0, str(ROOT))

from tests.benchmarks.clustered_log import write_clustered_log  # noqa: E402

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
CANDIDATES = 20
MEGABYTE = 1024.0  # ru_maxrss counts kilobytes


@dataclass(frozen=True)
class Fitted:
    """One fit: seconds of wall and processor time, peak of resident memory in MB, and seconds of each stage."""

    queries: int
    candidates: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    artefact_mb: float
    stages: dict[str, float]


def fit_once(log: Path, candidates: int) -> Fitted:
    """Fit in this process, which should be fresh: its memory only ever grows."""
    import resource

    from emafusion.learning.fitting import fit_router
    from emafusion.routers.artefact import save_router

    met: list[tuple[str, float]] = [("reading the log", time.perf_counter())]
    cpu = time.process_time()
    model, report = fit_router(log, progress=lambda stage, done: met.append((stage, time.perf_counter())))
    met.append(("", time.perf_counter()))
    cpu = time.process_time() - cpu
    stages: dict[str, float] = {}
    for (stage, began), (_, ended) in pairwise(met):
        stages[stage] = round(stages.get(stage, 0.0) + ended - began, 2)
    saved = log.with_suffix(".router.json")
    save_router(model, saved)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    size = saved.stat().st_size / 1e6
    return Fitted(report.queries, candidates, met[-1][1] - met[0][1], cpu, peak, size, stages)


def measure(queries: int, candidates: int, folder: Path, seed: int = 0) -> Fitted:
    """Write a log and fit on it in a process of its own."""
    log = folder / f"log-{queries}.jsonl"
    write_clustered_log(log, queries, candidates, seed)
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, "--child", str(log), "--candidates", str(candidates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    log.unlink()
    if done.returncode != 0:
        raise SystemExit(f"the fit of {queries} queries failed:\n{done.stderr}")
    return Fitted(**json.loads(done.stdout.splitlines()[-1]))


def exponent(fits: Sequence[Fitted]) -> float:
    """Slope of log(seconds) over log(n log n), by least squares; NaN for fewer than two sizes."""
    if len({fit.queries for fit in fits}) < 2:
        return float("nan")
    n = np.array([fit.queries for fit in fits], dtype=np.float64)
    return float(np.polyfit(np.log(n * np.log(n)), np.log([fit.cpu_s for fit in fits]), 1)[0])


def table_of(fits: Sequence[Fitted]) -> Table:
    table = Table(title=f"Fitting a router on queries of {fits[0].candidates} candidates", title_justify="left")
    for heading in ("queries", "wall s", "CPU s", "peak MB", "artefact MB"):
        table.add_column(heading, justify="right")
    table.add_column("slowest stages, s")
    for fit in fits:
        slowest = sorted(fit.stages.items(), key=lambda stage: -stage[1])[:4]
        table.add_row(
            f"{fit.queries:,}",
            f"{fit.wall_s:.1f}",
            f"{fit.cpu_s:.1f}",
            f"{fit.peak_mb:.0f}",
            f"{fit.artefact_mb:.1f}",
            ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest),
        )
    return table


def draw(fits: Sequence[Fitted], path: Path) -> None:
    """Seconds and memory over the size of the log, beside a line that grows by n log n."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n = np.array([fit.queries for fit in fits], dtype=np.float64)
    seconds = np.array([fit.cpu_s for fit in fits])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
    left.loglog(n, seconds, "o-", label=f"fit, (n log n)^{exponent(fits):.2f}")
    grown = n * np.log(n)
    left.loglog(n, seconds[-1] * grown / grown[-1], "--", color="grey", label="n log n")
    left.set(xlabel="queries", ylabel="seconds of one core")
    left.legend(frameon=False)
    right.semilogx(n, [fit.peak_mb for fit in fits], "o-", color="C1")
    right.set(xlabel="queries", ylabel="peak memory, MB", ylim=(0.0, None))
    figure.suptitle(f"Fitting on a log of {fits[0].candidates} candidates", fontsize=11)
    figure.savefig(path)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of queries, by commas")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="where to write an SVG or PNG")
    parser.add_argument("--json", action="store_true", help="write one JSON object to stdout")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(asdict(fit_once(options.child, options.candidates))))
        return
    progress, fits = Console(stderr=True), []
    with tempfile.TemporaryDirectory() as folder:
        for queries in sorted(int(size) for size in options.sizes.split(",")):
            fits.append(measure(queries, options.candidates, Path(folder), options.seed))
            progress.print(f"{queries:,} queries: {fits[-1].wall_s:.1f} s, {fits[-1].peak_mb:.0f} MB")
    if options.plot:
        draw(fits, options.plot)
    if options.json:
        print(json.dumps({"exponent": exponent(fits), "fits": [asdict(fit) for fit in fits]}, indent=2))
        return
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table_of(fits))
    print(f"CPU time grows by (n log n)^{exponent(fits):.2f}")


if __name__ == "__main__":
    main()
