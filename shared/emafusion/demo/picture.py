"""The cost-quality picture: candidates alone, EMAFusion over its range of objectives, and the oracle."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from emafusion.demo.report import Row

__all__ = ["draw"]


def draw(rows: Sequence[Row], frontier: Sequence[Row], origin: str, folder: Path) -> list[Path]:
    """Write ``frontier.svg`` and ``frontier.png`` into ``folder``.

    Parameters
    ----------
    rows
        The table's rows.
    frontier
        EMAFusion over a range of objectives, cheapest first.
    """
    import matplotlib

    matplotlib.use("Agg")  # works without a screen
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"svg.hashsalt": "emafusion", "svg.fonttype": "none"}):  # the same file every time
        figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
        axes.errorbar(
            [r.usd_per_1000 for r in frontier],
            [r.quality for r in frontier],
            yerr=[r.quality_se for r in frontier],
            color="#1f5fa8",
            marker="o",
            markersize=4,
            capsize=2,
            elinewidth=0.7,
            label="EMAFusion, over what a right answer is worth",
        )
        styles = {"candidate": ("s", "#555555"), "EMAFusion": ("D", "#1f5fa8"), "oracle": ("*", "#c98500")}
        ours = [row for row in rows if row.kind == "EMAFusion"]
        for row in rows:
            marker, colour = styles[row.kind]
            # Ours are told in the legend: by default they often lie on the reference.
            told = "EMAFusion, by default and at the table's budgets" if ours and row is ours[0] else None
            axes.errorbar(
                row.usd_per_1000,
                row.quality,
                yerr=row.quality_se,
                color=colour,
                marker=marker,
                markersize=11 if row.kind == "oracle" else 7,
                capsize=2,
                elinewidth=0.7,
                linestyle="none",
                label=told,
            )
            if row.kind != "EMAFusion":
                axes.annotate(
                    row.name,
                    (row.usd_per_1000, row.quality),
                    xytext=(0, -12),
                    textcoords="offset points",
                    fontsize=8,
                    color=colour,
                    ha="center",
                    va="top",
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
                )
        axes.set_xscale("log")
        ticks = [m * 10.0**e for e in range(-5, 4) for m in (1, 1.5, 2, 3, 5, 7)]
        low, high = min(r.usd_per_1000 for r in rows), max(r.usd_per_1000 for r in rows)
        axes.set_xticks([t for t in ticks if low / 1.3 <= t <= high * 1.3], minor=False)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.18, y=0.1)
        axes.set_xlabel("USD per 1,000 queries (all calls)")
        axes.set_ylabel(f"quality on {rows[0].n} test prompts (bars: standard error)")
        axes.set_title(textwrap.fill(origin, 110), fontsize=7.5, loc="left")
        axes.grid(alpha=0.25, which="both")
        axes.legend(loc="lower right", fontsize=8)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "frontier.svg", folder / "frontier.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
        plt.close(figure)
    return paths
