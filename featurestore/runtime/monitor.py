"""A prediction view in service: what was served, held against labels that came later and against training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from featurestore.errors import EntityKeyMissing, FeatureNotFound, SettingsError
from featurestore.intervals import to_utc
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import PredictionViewNode, ServiceNode
from featurestore.ir.served import (
    IS_SHADOW,
    MODEL_NAME,
    MODEL_VERSION,
    SERVED_AT,
    SERVED_REQUEST,
    SERVED_ROW,
    SERVED_STATUS,
)
from featurestore.reports.comparison import Side, compare, write_comparison
from featurestore.reports.monitoring import Monitored, monitor, write_monitoring
from featurestore.runtime.compare import report_path
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.historical import retrieve
from featurestore.runtime.served import read_served

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_shadow", "monitor_view"]

_GIVEN = ("CACHED", "LIVE", "STALE")
_LOOKED_BACK = timedelta(days=30)


def monitor_view(
    context: RuntimeContext,
    name: str,
    *,
    labels: str | Path | None = None,
    label: str = "label",
    training: str | Path | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    within: timedelta | None = None,
    rows: int = 100_000,
    path: Path | None = None,
) -> Path:
    """Report on what was served in ``[start, end)`` (the last 30 days); give the report's page.

    ``labels`` is a Parquet or CSV file, or a folder of them, with the view's keys, ``event_timestamp`` and the column
    ``label``: each label is joined to the prediction that was served last before it, at most ``within`` earlier.
    ``training`` has the training set: outputs and features of the same names are compared with those that were served,
    features as they were known at the lookup, on at most ``rows`` served rows.
    """
    view = _view(context, name)
    since, until = _range(context, start, end)
    log = read_served(context, name, since, until).to_arrow()
    log = log.filter(pc.invert(log[IS_SHADOW]))
    given = log.filter(pc.is_in(log[SERVED_STATUS], pa.array(_GIVEN)))
    outputs = [feature.name for feature in view.features]
    joined = None if labels is None else _labelled(view, given, _read(labels), label, within)
    reference = None if training is None else _read(training)
    data = Monitored(
        view=name,
        model=f"model {view.model.name}, version {', '.join(_versions(given)) or view.model.version}",
        start=since,
        end=until,
        statuses=Counter(str(status) for status in log[SERVED_STATUS].to_pylist()),
        served={output: given[output] for output in outputs},
        labelled={} if joined is None else {output: joined[output] for output in outputs},
        labels=None if joined is None else joined[label],
        features={} if reference is None or not len(given) else _features(context, view, given, rows),
        reference={} if reference is None else {n: reference[n] for n in reference.column_names},
    )
    return write_monitoring(monitor(data), data, path or report_path(context, name, "service"))


def compare_shadow(
    context: RuntimeContext,
    name: str,
    version: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    path: Path | None = None,
) -> Path:
    """Compare what a shadow model would have answered with what was served, on the lookups that asked both."""
    view = _view(context, name)
    log = read_served(context, name, *_range(context, start, end)).to_arrow()
    shadow, served = log.filter(log[IS_SHADOW]), log.filter(pc.invert(log[IS_SHADOW]))
    known = _versions(shadow)
    chosen = version or (known[0] if len(known) == 1 else None)
    if chosen not in known:
        asked = "no version is named" if version is None else f"version {version!r} was asked for"
        raise SettingsError(
            f"prediction view {name!r}: {asked}, and the log of that time has the shadow versions "
            f"{', '.join(known) or 'none'}; name one, or serve with shadow= and `lookup: log_served`",
            view=name,
        )
    shadow = shadow.filter(pc.field(MODEL_VERSION) == chosen)
    outputs = [feature.name for feature in view.features]
    at = [SERVED_REQUEST, SERVED_ROW]
    both = served.select([*at, *outputs]).join(
        shadow.select([*at, *outputs]), at, join_type="inner", left_suffix="_served", right_suffix="_shadow"
    )
    both = both.sort_by([(column, "ascending") for column in at])
    old, new = (
        Side(label=label, model=model, outputs={o: both[f"{o}_{label}"] for o in outputs})
        for label, model in (
            ("served", f"model {view.model.name} {', '.join(_versions(served))}"),
            ("shadow", f"model {', '.join(_names(shadow))} {chosen}"),
        )
    )
    found = compare(name, old, new, basis="one for each entity of each lookup that asked both")
    return write_comparison(found, old, new, path or report_path(context, name, f"shadow-{chosen}"))


def _view(context: RuntimeContext, name: str) -> PredictionViewNode:
    view = context.manifest.prediction_views.get(name)
    if view is None:
        valid = ", ".join(sorted(context.manifest.prediction_views)) or "none"
        raise FeatureNotFound(f"there is no prediction view {name!r}; there are {valid}", view=name)
    return view


def _range(context: RuntimeContext, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    until = context.clock() if end is None else to_utc(end)
    return (until - _LOOKED_BACK if start is None else to_utc(start)), until


def _read(path: str | Path) -> pa.Table:
    source = Path(path)
    if not source.exists():
        raise SettingsError(f"there is no file or folder {str(source)!r}; give Parquet or CSV")
    return ds.dataset(source, format="csv" if source.suffix == ".csv" else "parquet").to_table()


def _labelled(
    view: PredictionViewNode, given: pa.Table, labels: pa.Table, label: str, within: timedelta | None
) -> pa.Table:
    """Join each label to the prediction served last before it; a label without one keeps its row."""
    import pandas as pd

    keys = [key.name for key in (*view.join_keys, *view.request)]
    lacking = [name for name in (*keys, EVENT_TIMESTAMP, label) if name not in labels.column_names]
    if lacking:
        raise EntityKeyMissing(
            f"the labels lack {', '.join(lacking)}; found {', '.join(labels.column_names)}: give the keys of "
            f"{view.name!r}, event_timestamp, and the label's column by label=",
            view=view.name,
        )
    outputs = [feature.name for feature in view.features]
    types = {name: given.schema.field(name).type for name in keys}
    left = _frame(labels.select([*keys, EVENT_TIMESTAMP, label]), types, EVENT_TIMESTAMP)
    right = _frame(given.select([*keys, SERVED_AT, *outputs]), types, SERVED_AT)
    joined = pd.merge_asof(
        left, right, left_on=EVENT_TIMESTAMP, right_on=SERVED_AT, by=keys, tolerance=within and pd.Timedelta(within)
    )
    return pa.Table.from_pandas(joined[[label, *outputs]], preserve_index=False)


def _frame(rows: pa.Table, types: Mapping[str, Any], time: str) -> pd.DataFrame:
    """Make a frame in order of time; keys in the view's types, instants in UTC."""
    for place, name in enumerate(rows.column_names):
        column: Any = rows[name]
        if name == time:
            column = pc.assume_timezone(column, "UTC") if column.type.tz is None else column
            column = column.cast(pa.timestamp("us", "UTC"), safe=False)
        elif name in types:
            column = column.cast(types[name])
        rows = rows.set_column(place, name, column)
    return rows.sort_by(time).to_pandas()


def _features(context: RuntimeContext, view: PredictionViewNode, given: pa.Table, rows: int) -> dict[str, Any]:
    """Give what the model read for served rows, as it was known at the lookup; request fields are not logged."""
    on_demand = context.manifest.on_demand_views
    refs = tuple(ref for ref in view.inputs if not (ref.view in on_demand and on_demand[ref.view].request))
    if not refs:
        return {}
    step = max(len(given) // rows, 1)
    keys = [key.name for key in view.join_keys]
    spine = given.take(pa.array(range(0, len(given), step))).select([*keys, SERVED_AT])
    spine = spine.rename_columns([*keys, EVENT_TIMESTAMP])
    names = [ref.feature for ref in refs]
    is_full = len(set(names)) < len(names)
    service = ServiceNode(name=view.name, features=refs)
    found = retrieve(
        context, spine, service, full_feature_names=is_full, availability="scheduled", allow_missing=True
    ).to_arrow()
    return {name: found[name] for name in found.column_names if name not in (*keys, EVENT_TIMESTAMP)}


def _versions(rows: pa.Table) -> list[str]:
    return sorted(version for version in rows[MODEL_VERSION].unique().to_pylist() if version is not None)


def _names(rows: pa.Table) -> list[str]:
    return sorted(name for name in rows[MODEL_NAME].unique().to_pylist() if name is not None)
