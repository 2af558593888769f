"""Batch prediction: a model over the features of all current entities, as of one step end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.historical import IS_CURRENT, snapshot
from featurestore.engines.spark.model_worker import BatchPredictor, HeaderColumns, StoredColumn
from featurestore.engines.spark.schema import struct_of
from featurestore.engines.spark.statements import HistoricalLookup
from featurestore.errors import StateError
from featurestore.intervals import Coverage, to_micros
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, stored_features
from featurestore.ir.ddl import quote
from featurestore.ir.inputs import InputRow, input_rows, key_columns
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef, FieldNode, PredictionViewNode, ViewNode
from featurestore.spec.dtypes import Timestamp

__all__ = ["ScoreRequest", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One scoring step. ``tables`` has all rows of each input view's table, ``coverage`` what of it is done, by name.

    ``created`` is the predictions' created_timestamp: when they are stated to have been made. ``archive`` names the
    definitions zip among the files that Spark brings to its workers.
    """

    view: PredictionViewNode
    manifest: Manifest
    step_end: datetime
    created: datetime
    tables: Mapping[str, DataFrame]
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    archive: str | None = None


def score(request: ScoreRequest) -> DataFrame:
    """Predict for every entity of the first input view that is not expired at the step end.

    Columns: join keys, event_timestamp (the step end), created_timestamp, outputs, inputs_digest, inputs_timestamp (the
    greatest event time of the input rows). The model is loaded once in each Python worker and called once for each
    Arrow batch. InferenceFailed, raised in a worker, comes as such under ``worker_errors.raised_in_worker``.
    """
    view, at = request.view, F.lit(request.step_end)
    rows = _input_rows(request)
    stored: dict[FeatureRef, StoredColumn] = {}
    headers = []
    joined: DataFrame | None = None
    for number, row in enumerate(rows):
        lookup, columns = _lookup(request, row, number)
        stored |= columns
        state = snapshot(lookup, at)
        header = HeaderColumns(event=f"event{number}", created=f"created{number}")
        headers.append(header)
        state = state.select(
            *(F.col(quote(name)) for name in state.columns if name not in (IS_CURRENT, lookup.header)),
            F.unix_micros(f"header{number}.event_timestamp").alias(header.event),
            F.unix_micros(f"header{number}.created_timestamp").alias(header.created),
            *([F.col(IS_CURRENT)] if joined is None else []),
        )
        if joined is None:
            joined = state.where(F.col(IS_CURRENT)).drop(IS_CURRENT)
        else:
            joined = joined.join(state, list(lookup.columns), "left")
    assert joined is not None, "a view that can be scored has an input row"
    predictor = BatchPredictor(
        view=view,
        on_demand={ref.view: node for ref in view.inputs if (node := request.manifest.on_demand_views.get(ref.view))},
        stored=stored,
        headers=tuple(headers),
        event_us=to_micros(request.step_end),
        created_us=to_micros(request.created),
        archive=request.archive,
    )
    return joined.mapInArrow(predictor.__call__, struct_of(_output_fields(view)))


def _input_rows(request: ScoreRequest) -> tuple[InputRow, ...]:
    view, manifest = request.view, request.manifest
    rows = input_rows(manifest, view)
    owner = f"prediction view {view.name!r} cannot be scored in batch"
    on_demand = [manifest.on_demand_views[ref.view] for ref in view.inputs if ref.view in manifest.on_demand_views]
    requested = {one.name for fields in (view.request, *(node.request for node in on_demand)) for one in fields}
    if requested:
        raise StateError(
            f"{owner}: it reads the request fields {', '.join(sorted(requested))}, which only a lookup has; drop its "
            "schedule",
            view=view.name,
        )
    if not rows:
        raise StateError(f"{owner}: it has no input view to take entities from; drop its schedule", view=view.name)
    keys = [key.name for key in view.join_keys]
    for number, row in enumerate(rows):
        columns = key_columns(manifest.stored_view(row.view), row.join_key_map)
        if not (set(columns) <= set(keys) and (number or set(columns) == set(keys))):
            need = "must be among" if number else "must be exactly"
            raise StateError(
                f"{owner}: input view {row.view!r} is found by {', '.join(columns)}; its keys {need} the view's join "
                f"keys {', '.join(keys)}: put a view with all of them first, or map keys with with_join_key_map",
                view=view.name,
            )
    return rows


def _lookup(
    request: ScoreRequest, row: InputRow, number: int
) -> tuple[HistoricalLookup, dict[FeatureRef, StoredColumn]]:
    node = request.manifest.stored_view(row.view)
    dtypes = {feature.name: feature.dtype for feature in node.features}
    refs = [
        ref
        for ref in request.manifest.stored_inputs(request.view.inputs)
        if ref.view == row.view and ref.join_key_map == row.join_key_map
    ]
    names = {feature: f"input{number}_{place}" for place, feature in enumerate(dict.fromkeys(r.feature for r in refs))}
    lookup = HistoricalLookup(
        view=node,
        rows=request.tables[row.view],
        features=tuple(names.items()),
        join_key_map=row.join_key_map,
        coverage=request.coverage.get(row.view, Coverage()),
        header=f"header{number}",
        serve_expired=number > 0 and isinstance(node, ViewNode) and node.on_expired == "serve",
    )
    columns = {ref: StoredColumn(column=names[ref.feature], dtype=dtypes[ref.feature]) for ref in refs}
    return lookup, columns


def _output_fields(view: PredictionViewNode) -> tuple[FieldNode, ...]:
    times = (FieldNode(name=EVENT_TIMESTAMP, dtype=Timestamp), FieldNode(name=CREATED_TIMESTAMP, dtype=Timestamp))
    return (*view.join_keys, *times, *stored_features(view))
