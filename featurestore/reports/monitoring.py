"""A prediction in service: calibration against what came, and drift against what the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from featurestore.reports import figures
from featurestore.reports.comparison import distribution_table
from featurestore.reports.measures import (
    Calibration,
    Distribution,
    Drift,
    Values,
    calibration_of,
    distribution_of,
    drift_of,
    is_numeric,
    numbers_of,
)
from featurestore.reports.page import Section, Table, write_page

__all__ = ["Monitored", "Monitoring", "OutputQuality", "monitor", "write_monitoring"]

_LIMITS = (0.1, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What the report is made of.

    ``served`` has a view's outputs as they were given out, by row; ``labelled`` the outputs that were served last
    before each label, aligned with ``labels``; ``features`` what the model read for served rows. ``reference`` has
    outputs and features of the training set, as far as they are known.
    """

    view: str
    model: str
    start: datetime | None
    end: datetime | None
    statuses: Mapping[str, int]
    served: Mapping[str, Values]
    labelled: Mapping[str, Values]
    labels: Values | None
    features: Mapping[str, Values]
    reference: Mapping[str, Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputQuality:
    """``calibration`` is None for an output that is no probability, or without labels."""

    output: str
    distribution: Distribution
    calibration: Calibration | None
    drift: Drift | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """``unmatched`` labels have no prediction that was served before them."""

    view: str
    model: str
    start: datetime | None
    end: datetime | None
    served: int
    statuses: Mapping[str, int]
    labels: int
    unmatched: int
    outputs: tuple[OutputQuality, ...]
    features: Mapping[str, Drift]


def monitor(data: Monitored) -> Monitoring:
    """Measure; nothing is written."""
    labels = 0 if data.labels is None else len(data.labels)
    matched = max((len(values) - values.null_count for values in data.labelled.values()), default=0)
    return Monitoring(
        view=data.view,
        model=data.model,
        start=data.start,
        end=data.end,
        served=sum(data.statuses.values()),
        statuses=data.statuses,
        labels=labels,
        unmatched=labels - matched,
        outputs=tuple(_quality(name, values, data) for name, values in data.served.items()),
        features={
            name: drift_of(data.reference[name], values)
            for name, values in data.features.items()
            if name in data.reference
        },
    )


def write_monitoring(found: Monitoring, data: Monitored, path: Path) -> Path:
    """Write the report's page and JSON."""
    sections = [
        Section(
            title="Served",
            tables=[Table(header=("status", "rows"), rows=sorted(found.statuses.items()))],
        ),
        *(_output_section(quality, data) for quality in found.outputs),
    ]
    if found.features:
        sections.append(_feature_section(found, data))
    summary = (
        f"{found.model}: {found.served:,} predictions served{_between(found)}; {found.labels:,} labels, "
        f"{found.unmatched:,} of them for entities of which nothing had been served before."
    )
    return write_page(path, title=f"{found.view} in service", summary=summary, sections=sections, content=found)


def _quality(output: str, values: Values, data: Monitored) -> OutputQuality:
    calibration = None
    labelled = data.labelled.get(output)
    if data.labels is not None and labelled is not None and _is_probability(values) and is_numeric(data.labels):
        calibration = calibration_of(labelled, data.labels)
    reference = data.reference.get(output)
    return OutputQuality(
        output=output,
        distribution=distribution_of(values),
        calibration=calibration,
        drift=None if reference is None else drift_of(reference, values),
    )


def _is_probability(values: Values) -> bool:
    if not is_numeric(values):
        return False
    found = distribution_of(values)
    return found.minimum is not None and found.maximum is not None and found.minimum >= 0 and found.maximum <= 1


def _output_section(quality: OutputQuality, data: Monitored) -> Section:
    served, reference = data.served[quality.output], data.reference.get(quality.output)
    sides = {"served": quality.distribution}
    if reference is not None:
        sides = {"training": distribution_of(reference), **sides}
    tables, plots = [distribution_table(sides)], []
    if quality.drift is not None:
        tables.insert(0, _drift_table({quality.output: quality.drift}))
    if quality.calibration is not None:
        tables.insert(0, _calibration_table(quality.calibration))
        plots.append(figures.curve(quality.calibration.curve))
    if is_numeric(served):
        numbers = {"served": numbers_of(served)}
        if reference is not None:
            numbers = {"training": numbers_of(reference), **numbers}
        plots.append(figures.histograms(numbers, label=quality.output))
    text = "" if quality.calibration is not None else "No labels to hold it against."
    return Section(title=f"Output {quality.output}", text=text, tables=tables, figures=plots)


def _calibration_table(found: Calibration) -> Table:
    rows = [
        ("rows with label", found.rows),
        ("share that came true", found.positives),
        ("Brier score", found.brier),
        ("Brier score of that share alone", found.brier_of_base_rate),
        ("log loss", found.log_loss),
        ("area under the ROC curve", found.auc),
        ("expected calibration error", found.error),
    ]
    return Table(header=("calibration", ""), rows=rows)


def _feature_section(found: Monitoring, data: Monitored) -> Section:
    drifts = dict(sorted(found.features.items(), key=lambda item: -(item[1].psi or 0)))
    plots = [
        figures.bars(
            {name: drift.psi or 0.0 for name, drift in drifts.items()},
            label="population stability index",
            limits=_LIMITS,
        )
    ]
    for name in [name for name in drifts if is_numeric(data.features[name])][:6]:
        numbers = {"training": numbers_of(data.reference[name]), "served": numbers_of(data.features[name])}
        plots.append(figures.histograms(numbers, label=name))
    return Section(
        title="Drift of features",
        text="Against the training set: an index below 0.1 is read as stable, up to 0.25 as moved, above as drifted.",
        tables=[_drift_table(drifts)],
        figures=plots,
    )


def _drift_table(drifts: Mapping[str, Drift]) -> Table:
    header = ("drift", "stability index", "reading", "Kolmogorov-Smirnov", "p-value", "training rows", "rows")
    return Table(
        header=header,
        rows=[
            (name, drift.psi, drift.verdict, drift.ks, drift.ks_p_value, drift.reference_rows, drift.rows)
            for name, drift in drifts.items()
        ],
    )


def _between(found: Monitoring) -> str:
    since = "" if found.start is None else f" from {found.start:%Y-%m-%d %H:%M}"
    return since + ("" if found.end is None else f" to {found.end:%Y-%m-%d %H:%M}")
