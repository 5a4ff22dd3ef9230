"""The report of an evaluation: one HTML file, with its pictures inside. Needs the ``report`` extra."""

from __future__ import annotations

from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emafusion.errors import ConfigError
from emafusion.evaluation.folds import EMAFUSION
from emafusion.evaluation.metrics import frontier

if TYPE_CHECKING:
    from emafusion.evaluation.evaluation import Evaluation

__all__ = ["require_extra", "write_report"]

TEMPLATE = Path(__file__).with_name("report.html.jinja")
DRAWN = ("pairwise cascades", "k-nearest neighbours", "k-means table", "taxonomy only", "learned only", "cascade only")
"""Baselines whose frontiers are drawn; single points and bounds are drawn besides."""


def require_extra() -> None:
    """Make sure that pictures can be drawn, before hours are spent.

    Raises
    ------
    ConfigError
        If matplotlib or jinja2 is missing.
    """
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"a report needs {' and '.join(missing)}: pip install 'emafusion[report]'")


def write_report(found: Evaluation, path: str | Path, *, title: str) -> None:
    """Write the report of an evaluation as one HTML file.

    Raises
    ------
    ConfigError
        If the ``report`` extra is not installed.
    """
    require_extra()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"thousand": _thousand, "percent": _percent, "signed": _signed}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        found=found,
        comparison=found.comparison,
        emafusion=EMAFUSION,
        frontier=_frontier_plot(found),
        reliability=_reliability_plot(found),
    )
    Path(path).write_text(page, encoding="utf-8")


def _thousand(usd: float | None) -> str:
    return "–" if usd is None else f"{1000.0 * usd:.3g}"


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None or not np.isfinite(share) else f"{100.0 * share:.{digits}f} %"


def _signed(points: float) -> str:
    return f"{100.0 * points:+.2f}"


def _frontier_plot(found: Evaluation) -> Any:
    """Cost (log) against quality: every method's hull, every candidate's bound."""
    comparison = found.comparison
    figure, axes = _figure(8.0, 4.8)
    for name in (*DRAWN, EMAFUSION):
        if name not in comparison.frontiers:
            continue
        cost, quality = (np.array(x) for x in comparison.frontiers[name])
        on = frontier(cost, quality)
        main = name == EMAFUSION
        style = {"lw": 2.6, "color": "#c0392b", "zorder": 5} if main else {"lw": 1.2, "alpha": 0.85}
        axes.plot(1000 * cost[on], quality[on], marker="o", ms=4 if main else 2.5, label=name, **style)
    for name, marker in (("best single", "*"), ("cheapest", "v"), ("dearest", "^"), ("random", "x")):
        cost, quality = (np.array(x) for x in comparison.frontiers[name])
        axes.plot(1000 * cost[:1], quality[:1], marker, ms=9 if marker == "*" else 6, color="#333333", label=name)
    cost, quality = (np.array(x) for x in comparison.frontiers["oracle"])
    axes.plot(1000 * cost, quality, ":", color="#333333", lw=1.2, label="oracle")
    axes.set_xscale("log")
    axes.set_xlabel("USD per 1,000 queries")
    axes.set_ylabel("quality (mean score)")
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower right")
    axes.grid(alpha=0.25)
    return _svg(figure, "frontier")


def _reliability_plot(found: Evaluation) -> Any:
    """Confidence against quality, with how many answers each bin holds."""
    bins = found.calibration.bins
    figure, axes = _figure(4.8, 4.4)
    axes.plot([0, 1], [0, 1], ":", color="#333333", lw=1)
    confidence, quality = ([b[name] for b in bins] for name in ("confidence", "quality"))
    count = np.array([b["count"] for b in bins])
    axes.scatter(confidence, quality, s=20 + 260 * count / count.max(), color="#c0392b", alpha=0.75)
    axes.plot(confidence, quality, color="#c0392b", lw=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="quality of the answers accepted with it")
    axes.grid(alpha=0.25)
    return _svg(figure, "reliability")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure that touches no global state: no window, no back end is chosen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Any, name: str) -> Any:
    """The figure as inline SVG, the same bytes for the same figures."""
    from markupsafe import Markup
    from matplotlib import rc_context

    out = StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return Markup(text[text.index("<svg") :])
