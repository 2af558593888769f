"""The reports' plots, as SVG text to be put into a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["bars", "curve", "histograms", "lines", "scatter"]

_SIZE = (5.2, 3.2)
_MOST_POINTS = 3_000


def histograms(series: Mapping[str, np.ndarray[Any, Any]], *, label: str) -> str:
    """Lay the distributions of several series over each other, each as shares of its own rows."""
    present = {name: values[~np.isnan(values)] for name, values in series.items()}
    together = np.concatenate(list(present.values())) if present else np.empty(0)
    figure, axes = _axes(label, "share of rows")
    if len(together):
        edges = _edges(float(together.min()), float(together.max()))
        for name, values in present.items():
            weights = np.full(len(values), 1 / max(len(values), 1))
            axes.hist(values, edges, weights=weights, alpha=0.5, label=f"{name} ({len(values):,})")
        axes.legend()
    return _svg(figure)


def _edges(low: float, high: float) -> list[float]:
    """Cut a range into 40 bins, widened where all values are as good as one."""
    least = 1e-9 * max(abs(low), abs(high), 1.0)
    if high - low < least:
        low, high = low - least, high + least
    edges: list[float] = np.linspace(low, high, 41).tolist()
    return edges


def scatter(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any], *, labels: tuple[str, str]) -> str:
    """Set two values of the same rows against each other; of many rows every so manieth is shown."""
    step = max(len(old) // _MOST_POINTS, 1)
    figure, axes = _axes(*labels)
    axes.scatter(old[::step], new[::step], s=6, alpha=0.4, linewidths=0, rasterized=len(old) > 1_000)
    both = np.concatenate([old, new])
    both = both[~np.isnan(both)]
    if len(both):
        axes.plot([both.min(), both.max()], [both.min(), both.max()], color="grey", linewidth=0.8)
    return _svg(figure)


def curve(points: Sequence[tuple[float, float, int]]) -> str:
    """Draw a reliability curve; the diagonal is perfect."""
    figure, axes = _axes("mean predicted probability", "share that came true")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    means, shares, _ = zip(*points, strict=True)
    axes.plot(means, shares, marker="o", markersize=4)
    limit = max(*means, *shares) * 1.1
    axes.set_xlim(0, min(limit, 1) or 1)
    axes.set_ylim(0, min(limit, 1) or 1)
    return _svg(figure)


def bars(values: Mapping[str, float], *, label: str, limits: Sequence[float] = ()) -> str:
    """Draw one horizontal bar a name, and lines at limits."""
    figure, axes = _axes(label, "")
    axes.barh(list(values), list(values.values()))
    axes.invert_yaxis()
    for limit in limits:
        axes.axvline(limit, color="grey", linewidth=0.8, linestyle="--")
    return _svg(figure)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, labels: tuple[str, str]) -> str:
    """Draw (x, y) series on logarithmic axes."""
    figure, axes = _axes(*labels)
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend()
    return _svg(figure)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Write the figure; equal data give equal text."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "featurestore", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=120)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
