"""Batch prediction: a model over the features of current entities as of one step end, where they changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.engines.spark.historical import EXPIRES, IS_CURRENT, snapshot
from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.model_worker import (
    STANDING_DIGEST,
    STANDING_EVENT,
    BatchPredictor,
    HeaderColumns,
    StoredColumn,
)
from featurestore.engines.spark.schema import struct_of
from featurestore.engines.spark.statements import HistoricalLookup
from featurestore.errors import StateError, TransformationFailed
from featurestore.intervals import Coverage, to_micros
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_DIGEST, IS_DELETED, stored_features
from featurestore.ir.ddl import quote
from featurestore.ir.inputs import InputRow, input_rows, key_columns
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef, FieldNode, PredictionViewNode, ViewNode
from featurestore.spec.dtypes import Timestamp

__all__ = ["ScoreRequest", "score", "scoring_inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One scoring step. ``tables`` has all rows of each input view's table, ``coverage`` what of it is done, by name.

    ``created`` is the predictions' created_timestamp: when they are stated to have been made. ``since`` is the step's
    start and ``predictions`` all rows of the view's own table: entities whose inputs have not changed since are left
    out. Without ``predictions`` all are scored. ``archive`` names the definitions zip among the files that Spark
    brings to its workers.
    """

    view: PredictionViewNode
    manifest: Manifest
    step_end: datetime
    created: datetime
    tables: Mapping[str, DataFrame]
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    since: datetime | None = None
    predictions: DataFrame | None = None
    archive: str | None = None


def score(request: ScoreRequest, counts: PassCounts | None = None) -> DataFrame:
    """Predict for every entity of the first input view that is not expired at the step end, if its inputs changed.

    The view's ``where`` chooses among them by join keys and stored input features.

    They have changed where what stands was made of other input rows, or one of them expired within the step. A step
    that is scored again predicts again what it predicted. So steps in any order give an equal history: an entity that
    is left out has the prediction that it would get.

    Columns: join keys, event_timestamp (the step end), created_timestamp, outputs, inputs_digest, inputs_timestamp (the
    greatest event time of the input rows). The model is loaded once in each Python worker and called on large batches.
    ``counts`` gets ``entities`` and, of these, ``predicted``. InferenceFailed, raised in a worker, comes as such under
    ``worker_errors.raised_in_worker``.
    """
    view, counts = request.view, counts or PassCounts()
    joined, predictor = scoring_inputs(request)
    joined = counts.observe(joined, entities=F.count(F.lit(1)))
    if request.predictions is not None:
        standing = _standing(view, request.predictions, F.lit(request.step_end))
        joined = joined.join(standing, [key.name for key in view.join_keys], "left")
    scored = joined.mapInArrow(predictor.__call__, struct_of(_output_fields(view)))
    return counts.observe(scored, predicted=F.count(F.lit(1)))


def scoring_inputs(request: ScoreRequest) -> tuple[DataFrame, BatchPredictor]:
    """Give the current entities with what the model reads of each, and what predicts for batches of them."""
    at = F.lit(request.step_end)
    stored: dict[FeatureRef, StoredColumn] = {}
    headers = []
    joined: DataFrame | None = None
    for number, row in enumerate(_input_rows(request)):
        lookup, columns = _lookup(request, row, number)
        stored |= columns
        state = snapshot(lookup, at)
        header = HeaderColumns(event=f"event{number}", created=f"created{number}", lapsed=f"lapsed{number}")
        headers.append(header)
        state = state.select(
            *(F.col(quote(name)) for name in state.columns if name not in (IS_CURRENT, EXPIRES, lookup.header)),
            F.unix_micros(f"header{number}.event_timestamp").alias(header.event),
            F.unix_micros(f"header{number}.created_timestamp").alias(header.created),
            _lapsed(request).alias(header.lapsed),
            *([F.col(IS_CURRENT)] if joined is None else []),
        )
        if joined is None:
            joined = state.where(F.col(IS_CURRENT)).drop(IS_CURRENT)
        else:
            joined = joined.join(state, list(lookup.columns), "left")
    assert joined is not None, "a view that can be scored has an input row"
    if request.view.where is not None:
        joined = _chosen(request.view, request.view.where, joined, stored)
    on_demand = request.manifest.on_demand_views
    return joined, BatchPredictor(
        view=request.view,
        on_demand={ref.view: on_demand[ref.view] for ref in request.view.inputs if ref.view in on_demand},
        stored=stored,
        headers=tuple(headers),
        event_us=to_micros(request.step_end),
        created_us=to_micros(request.created),
        compares=request.predictions is not None,
        archive=request.archive,
    )


def _chosen(
    view: PredictionViewNode, where: str, joined: DataFrame, stored: Mapping[FeatureRef, StoredColumn]
) -> DataFrame:
    """Keep the entities of which the predicate is true; a feature is named as it is, or ``view__feature``."""
    named = {f"{ref.alias}__{ref.feature}": column.column for ref, column in stored.items()}
    for feature, count in Counter(ref.feature for ref in stored).items():
        if count == 1:
            named |= {ref.feature: column.column for ref, column in stored.items() if ref.feature == feature}
    own = [F.col(quote(name)) for name in joined.columns]
    try:
        seen = joined.select(*own, *(F.col(column).alias(name) for name, column in named.items()))
        return seen.where(F.expr(where)).select(*own)
    except PySparkException as error:
        known = ", ".join([*(key.name for key in view.join_keys), *named])
        raise TransformationFailed(
            f"prediction view {view.name!r}: where={where!r} failed: {str(error).splitlines()[0]} "
            f"Valid are join keys and stored input features: {known}",
            view=view.name,
        ) from error


def _lapsed(request: ScoreRequest) -> Column:
    """Say whether the row could be used when the step began, and cannot any more."""
    if request.since is None:
        return F.lit(False)
    expires = F.col(EXPIRES)
    is_lapsed = (expires >= F.lit(request.since)) & (expires < F.lit(request.step_end))
    return F.coalesce(is_lapsed, F.lit(False))


def _standing(view: PredictionViewNode, rows: DataFrame, at: Column) -> DataFrame:
    """Give each key's newest prediction up to the step end, if it is not deleted: its digest and event time."""
    keys = [F.col(quote(key.name)) for key in view.join_keys]
    said = F.struct(F.col(INPUTS_DIGEST), F.unix_micros(EVENT_TIMESTAMP).alias("event"), F.col(IS_DELETED))
    newest = F.max_by(said, F.struct(EVENT_TIMESTAMP, CREATED_TIMESTAMP)).alias("newest")
    stands = rows.where(F.col(EVENT_TIMESTAMP) <= at).groupBy(*keys).agg(newest).where(~F.col(f"newest.{IS_DELETED}"))
    return stands.select(
        *keys,
        F.col(f"newest.{INPUTS_DIGEST}").alias(STANDING_DIGEST),
        F.col("newest.event").alias(STANDING_EVENT),
    )


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
