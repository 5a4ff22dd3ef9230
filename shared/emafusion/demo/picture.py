"""The cost-quality picture: candidates alone, EMAFusion over its range of objectives, and the oracle."""

from __future__ import annotations

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
        # Labels of points that lie close go to different sides.
        places = {"candidate": (8, -14), "EMAFusion": (8, 6), "oracle": (8, 2)}
        for row in rows:
            marker, colour = styles[row.kind]
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
            )
            axes.annotate(
                row.name,
                (row.usd_per_1000, row.quality),
                xytext=places[row.kind],
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
        axes.set_xscale("log")
        axes.margins(x=0.18, y=0.1)
        axes.set_xlabel("USD per 1,000 queries (all calls)")
        axes.set_ylabel(f"quality on {rows[0].n} test prompts (bars: standard error)")
        axes.set_title(origin, fontsize=8, wrap=True)
        axes.grid(alpha=0.25, which="both")
        axes.legend(loc="lower right", fontsize=8)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "frontier.svg", folder / "frontier.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
        plt.close(figure)
    return paths
