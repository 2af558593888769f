"""Two versions of a prediction on the same rows: distributions, agreement, and what a call of each model costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurestore.reports import figures
from featurestore.reports.measures import (
    QUANTILES,
    Agreement,
    Distribution,
    Drift,
    Values,
    agreement_of,
    distribution_of,
    drift_of,
    is_numeric,
    numbers_of,
)
from featurestore.reports.page import Section, Table, write_page

__all__ = [
    "Comparison",
    "Latency",
    "OutputComparison",
    "Side",
    "compare",
    "distribution_table",
    "measure_latency",
    "write_comparison",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of one model call, median and 99th percentile, on ``rows`` rows; ``calls`` were measured."""

    rows: int
    calls: int
    median_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: predictions by output, aligned with the other's by row, null where it has none."""

    label: str
    model: str
    outputs: Mapping[str, Values]
    latency: Sequence[Latency] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """``shift`` takes the old version's predictions as the reference."""

    output: str
    old: Distribution
    new: Distribution
    agreement: Agreement
    shift: Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``only_old`` and ``only_new`` count rows for which one side alone has a prediction."""

    view: str
    basis: str
    old: str
    new: str
    rows: int
    only_old: int
    only_new: int
    outputs: tuple[OutputComparison, ...]
    latency: Mapping[str, tuple[Latency, ...]]
    notes: tuple[str, ...] = ()


def compare(view: str, old: Side, new: Side, *, basis: str) -> Comparison:
    """Compare the outputs that both sides have; ``basis`` says which rows these are."""
    shared = [name for name in old.outputs if name in new.outputs]
    notes = [f"{side.label}: {side.note}" for side in (old, new) if side.note]
    alone = sorted(set(old.outputs) ^ set(new.outputs))
    if alone:
        notes.append(f"only one version has the outputs {', '.join(alone)}")
    has = [_has_value(side, shared) for side in (old, new)]
    return Comparison(
        view=view,
        basis=basis,
        old=f"{old.label}: {old.model}",
        new=f"{new.label}: {new.model}",
        rows=len(has[0]),
        only_old=int((has[0] & ~has[1]).sum()),
        only_new=int((has[1] & ~has[0]).sum()),
        outputs=tuple(
            OutputComparison(
                output=name,
                old=distribution_of(old.outputs[name]),
                new=distribution_of(new.outputs[name]),
                agreement=agreement_of(old.outputs[name], new.outputs[name]),
                shift=drift_of(old.outputs[name], new.outputs[name]),
            )
            for name in shared
        ),
        latency={side.label: tuple(side.latency) for side in (old, new)},
        notes=tuple(notes),
    )


def measure_latency(
    predict: Callable[[Mapping[str, Any]], object],
    inputs: Mapping[str, np.ndarray[Any, Any]],
    *,
    sizes: Sequence[int] = (1, 10, 100, 1_000),
    seconds: float = 0.5,
) -> tuple[Latency, ...]:
    """Time a model's calls on the first rows of real inputs, for at most ``seconds`` a size, after one unmeasured call.

    A size beyond the rows that there are is left out.
    """
    found = []
    available = len(next(iter(inputs.values()))) if inputs else 0
    for size in [size for size in sizes if size <= available]:
        part = {name: values[:size] for name, values in inputs.items()}
        predict(part)
        taken: list[float] = []
        ends = time.perf_counter() + seconds
        while len(taken) < 3 or (time.perf_counter() < ends and len(taken) < 1_000):
            started = time.perf_counter()
            predict(part)
            taken.append(time.perf_counter() - started)
        median, p99 = np.quantile(taken, (0.5, 0.99)).tolist()
        found.append(Latency(rows=size, calls=len(taken), median_seconds=median, p99_seconds=p99))
    return tuple(found)


def write_comparison(comparison: Comparison, old: Side, new: Side, path: Path) -> Path:
    """Write the report's page and JSON."""
    sections = [_output_section(item, old, new) for item in comparison.outputs]
    if any(comparison.latency.values()):
        sections.append(_latency_section(comparison))
    if comparison.notes:
        sections.append(Section(title="Notes", text=". ".join(comparison.notes) + "."))
    summary = (
        f"{comparison.old} against {comparison.new}, on {comparison.rows:,} rows ({comparison.basis}); "
        f"{comparison.only_old:,} have a prediction of the old version alone, {comparison.only_new:,} of the new one."
    )
    title = f"{comparison.view}: two versions compared"
    return write_page(path, title=title, summary=summary, sections=sections, content=comparison)


def _has_value(side: Side, outputs: Sequence[str]) -> np.ndarray[Any, Any]:
    has = [np.asarray(side.outputs[name].is_valid().to_numpy(zero_copy_only=False)) for name in outputs]
    combined: np.ndarray[Any, Any] = np.any(has, axis=0) if has else np.zeros(0, dtype=bool)
    return combined


def _output_section(item: OutputComparison, old: Side, new: Side) -> Section:
    left, right = old.outputs[item.output], new.outputs[item.output]
    agreement, shift = item.agreement, item.shift
    measures = [
        ("rows with both", agreement.pairs),
        ("equal share", agreement.equal),
        ("mean difference (new - old)", agreement.mean_difference),
        ("mean absolute difference", agreement.mean_absolute_difference),
        ("largest absolute difference", agreement.largest_difference),
        ("Pearson correlation", agreement.pearson),
        ("Spearman rank correlation", agreement.spearman),
        ("population stability index", shift.psi),
        ("Kolmogorov-Smirnov statistic", shift.ks),
    ]
    tables = [
        Table(header=("agreement", ""), rows=[row for row in measures if row[1] is not None]),
        distribution_table({old.label: item.old, new.label: item.new}),
    ]
    if not (is_numeric(left) and is_numeric(right)):
        return Section(title=f"Output {item.output}", tables=tables)
    numbers = {old.label: numbers_of(left), new.label: numbers_of(right)}
    plots = [
        figures.histograms(numbers, label=item.output),
        figures.scatter(*numbers.values(), labels=(old.label, new.label)),
        figures.histograms({"new - old": numbers[new.label] - numbers[old.label]}, label="difference"),
    ]
    return Section(title=f"Output {item.output}", tables=tables, figures=plots)


def distribution_table(sides: Mapping[str, Distribution]) -> Table:
    """Show distributions side by side."""
    if any(side.commonest for side in sides.values()):
        names = list(dict.fromkeys(name for side in sides.values() for name, _ in side.commonest))
        found = [dict(side.commonest) for side in sides.values()]
        return Table(header=("value", *sides), rows=[(name, *(counts.get(name) for counts in found)) for name in names])
    rows: list[tuple[object, ...]] = [
        ("rows", *(side.rows for side in sides.values())),
        ("null", *(side.nulls for side in sides.values())),
        ("mean", *(side.mean for side in sides.values())),
        ("standard deviation", *(side.standard_deviation for side in sides.values())),
        ("smallest", *(side.minimum for side in sides.values())),
    ]
    for place, quantile in enumerate(QUANTILES):
        rows.append((f"{quantile:.0%}", *(s.quantiles[place] if s.quantiles else None for s in sides.values())))
    rows.append(("greatest", *(side.maximum for side in sides.values())))
    return Table(header=("distribution", *sides), rows=rows)


def _latency_section(comparison: Comparison) -> Section:
    rows = [
        (label, item.rows, item.calls, item.median_seconds * 1e3, item.p99_seconds * 1e3)
        for label, items in comparison.latency.items()
        for item in items
    ]
    series = {
        label: [(float(item.rows), item.median_seconds * 1e3) for item in items]
        for label, items in comparison.latency.items()
        if items
    }
    return Section(
        title="Latency of the model",
        text="One call in this process, on the first rows of the features above.",
        tables=[Table(header=("version", "rows", "calls", "median ms", "p99 ms"), rows=rows)],
        figures=[figures.lines(series, labels=("rows in one call", "median milliseconds"))],
    )
