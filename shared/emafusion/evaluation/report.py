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
ROUTERS = ("k-nearest neighbours", "k-means table", "multilayer perceptron", "matrix factorisation", "linear bandit")
CASCADES = ("pairwise cascades", "threshold cascades", "AutoMix")
PARTS = ("taxonomy only", "learned only", "cascade only")
DRAWN = {
    "zero-router hull": {"color": "#888888", "ls": "--"},
    **{name: {"color": f"C{i}", "ls": "-"} for i, name in enumerate(ROUTERS)},
    **{name: {"color": color, "ls": "--"} for name, color in zip(CASCADES, ("C5", "C6", "C8"))},
    **{name: {"color": f"C{i}", "ls": ":"} for i, name in enumerate(PARTS)},
}
"""Baselines whose frontiers are drawn, and how; single points and bounds are drawn besides."""


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
    environment.filters |= {"thousand": _thousand, "percent": _percent, "signed": _signed, "figure": _figure_or_dash}
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


def _figure_or_dash(number: float | None, digits: int = 3) -> str:
    return "–" if number is None else f"{number:.{digits}f}"


def _frontier_plot(found: Evaluation) -> Any:
    """Cost (log) against quality: every method's hull, every candidate's bound."""
    comparison = found.comparison
    figure, axes = _figure(10.0, 5.2)
    for name in (*DRAWN, EMAFUSION):
        cost, quality = (np.array(x) for x in comparison.frontiers[name])
        on = frontier(cost, quality)
        if name == EMAFUSION:
            style: dict[str, Any] = {"lw": 2.6, "color": "#c0392b", "ms": 4, "zorder": 5}
        else:
            style = {"lw": 1.2, "alpha": 0.85, "ms": 2.5, **DRAWN[name]}
        axes.plot(1000 * cost[on], quality[on], marker="o", label=name, **style)
    for name, marker in (("best single", "*"), ("cheapest", "v"), ("dearest", "^"), ("random", "x")):
        cost, quality = (np.array(x) for x in comparison.frontiers[name])
        axes.plot(1000 * cost[:1], quality[:1], marker, ms=9 if marker == "*" else 6, color="#333333", label=name)
    cost, quality = (np.array(x) for x in comparison.frontiers["oracle"])
    axes.plot(1000 * cost, quality, ":", color="#333333", lw=1.2, label="oracle")
    axes.set_xscale("log")
    axes.set_xlabel("USD per 1,000 queries")
    axes.set_ylabel("quality (mean score)")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(alpha=0.25)
    return _svg(figure, "frontier")


def _reliability_plot(found: Evaluation) -> Any:
    """What was believed against what came of it, with how many answers each bin holds: after answers, and before."""
    calibration = found.calibration
    figure, (after, before) = _figure(9.6, 4.4, columns=2)
    for axes, bins, said, of in (
        (after, calibration.bins, "confidence", "quality of the answers accepted with it"),
        (before, calibration.forecast_bins, "forecast before any answer", "quality of the answers, all candidates"),
    ):
        axes.plot([0, 1], [0, 1], ":", color="#333333", lw=1)
        believed, quality = ([b[name] for b in bins] for name in ("confidence", "quality"))
        count = np.array([b["count"] for b in bins])
        axes.scatter(believed, quality, s=20 + 260 * count / count.max(), color="#c0392b", alpha=0.75)
        axes.plot(believed, quality, color="#c0392b", lw=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=said, ylabel=of)
        axes.grid(alpha=0.25)
    return _svg(figure, "reliability")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure that touches no global state: no window, no back end is chosen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _svg(figure: Any, name: str) -> Any:
    """The figure as inline SVG, the same bytes for the same figures."""
    from markupsafe import Markup
    from matplotlib import rc_context

    out = StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return Markup(text[text.index("<svg") :])
