"""Training sets and offline reads: point-in-time joins over the Delta tables that publication reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from featurestore.errors import InputNotReady
from featurestore.intervals import Coverage, Interval, to_utc
from featurestore.ir.columns import EVENT_TIMESTAMP
from featurestore.ir.nodes import StoredViewNode
from featurestore.retrieval.plan import (
    OnDemandOutput,
    PredictionOutput,
    RequestPlan,
    StoredArgument,
    StoredOutput,
)
from featurestore.retrieval.planner import plan_request
from featurestore.retrieval.refs import Features
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.publication_times import with_publication_times
from featurestore.runtime.retrieval_job import RetrievalJob

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from featurestore.engines.spark.statements import Availability, HistoricalLookup

__all__ = ["read_view", "retrieve"]

_BEGINNING, _END = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def retrieve(
    context: RuntimeContext,
    entity_df: Any,
    features: Features,
    *,
    full_feature_names: bool = False,
    created_before_event: bool = False,
    availability: Availability = "event",
    allow_missing: bool = False,
) -> RetrievalJob:
    """Plan a training set; nothing runs until a result of the job is asked for."""
    if availability not in ("event", "scheduled", "actual"):
        raise ValueError(f"availability: found {availability!r}; valid are event, scheduled and actual")
    # What was never published was never available.
    plan = plan_request(context.manifest, features, full_feature_names, offline=availability != "actual")

    def join() -> DataFrame:
        from featurestore.engines.spark.historical import point_in_time_join
        from featurestore.runtime.spine import read_spine

        spine = read_spine(context, entity_df)
        if not allow_missing:
            _refuse_missing(context, plan, spine)
        lookups = [
            _lookup(context, plan, index, created_before_event=created_before_event, availability=availability)
            for index in range(len(plan.reads))
        ]
        joined = point_in_time_join(spine, lookups)
        return _with_outputs(context, plan, joined, spine.columns)

    return RetrievalJob(join, has_row_numbers=True)


def read_view(
    context: RuntimeContext, name: str, start: datetime | None, end: datetime | None, as_of: datetime | None
) -> RetrievalJob:
    """Plan a read of a view's current rows; ``as_of`` leaves out statements that were made later."""
    view = context.manifest.stored_view(name)
    within = Interval(to_utc(start or _BEGINNING), to_utc(end or _END))
    created_until = None if as_of is None else to_utc(as_of)
    return RetrievalJob(
        lambda: context.offline.standing(view, within=within, created_until=created_until), has_row_numbers=False
    )


def _lookup(
    context: RuntimeContext,
    plan: RequestPlan,
    index: int,
    *,
    created_before_event: bool,
    availability: Availability,
) -> HistoricalLookup:
    """Ask for every feature of one read that an output or an on-demand function needs, under internal names."""
    from featurestore.engines.spark.statements import HistoricalLookup

    read = plan.reads[index]
    view = read.table_view
    rows = context.offline.rows(view)
    if availability == "actual":
        rows = with_publication_times(context, view, rows)
    return HistoricalLookup(
        view=view,
        rows=rows,
        features=tuple((feature, _column(index, feature)) for feature in _needed(plan, index)),
        join_key_map=tuple(
            (key.name, column) for key, column in zip(view.join_keys, read.columns, strict=True) if key.name != column
        ),
        coverage=context.ledger.coverage(view.name, view.version),
        created_before_event=created_before_event,
        availability=availability,
    )


def _needed(plan: RequestPlan, index: int) -> list[str]:
    needed: dict[str, None] = {}
    for output in plan.outputs:
        match output:
            case StoredOutput(read=read, feature=feature) if read == index:
                needed[feature] = None
            case PredictionOutput(prediction=prediction, feature=feature):
                if plan.predictions[prediction].read == index:
                    needed[feature] = None
            case _:
                pass
    for call in plan.calls:
        arguments = [item for item in call.arguments if isinstance(item, StoredArgument) and item.read == index]
        needed.update(dict.fromkeys(argument.feature for argument in arguments))
    return list(needed)


def _with_outputs(context: RuntimeContext, plan: RequestPlan, joined: DataFrame, spine_columns: list[str]) -> DataFrame:
    from pyspark.sql import functions as F

    from featurestore.runtime.on_demand_columns import call_column, with_on_demand

    joined = with_on_demand(context, joined, plan, _column)
    outputs = []
    for output in plan.outputs:
        match output:
            case StoredOutput():
                column = _column(output.read, output.feature)
            case PredictionOutput():
                column = _column(plan.predictions[output.prediction].read, output.feature)
            case OnDemandOutput():
                column = call_column(output.call, output.feature)
        outputs.append(F.col(f"`{column}`").alias(output.name))
    passed = [F.col(f"`{name}`") for name in dict.fromkeys([*spine_columns, "_row"])]
    return joined.select(*passed, *outputs)


def _column(read: int, feature: str) -> str:
    return f"_r{read}_{feature}"


def _refuse_missing(context: RuntimeContext, plan: RequestPlan, spine: DataFrame) -> None:
    """Refuse a training set that reaches into steps that were never computed: its nulls would mean nothing."""
    from pyspark.sql import functions as F

    row = spine.agg(F.max(EVENT_TIMESTAMP).alias("last")).first()
    if row is None or row["last"] is None:
        return
    last: datetime = row["last"]
    missing = _missing_by_view([read.table_view for read in plan.reads], to_utc(last), context)
    if missing:
        parts = "; ".join(f"{name}: {', '.join(map(str, gaps))}" for name, gaps in missing.items())
        raise InputNotReady(
            f"the training set needs steps that are not computed: {parts}. Run `featurestore ensure VIEW --until T`, "
            "or pass allow_missing=True and get nulls there",
            views=list(missing),
        )


def _missing_by_view(
    views: list[StoredViewNode], last: datetime, context: RuntimeContext
) -> Mapping[str, tuple[Interval, ...]]:
    found: dict[str, tuple[Interval, ...]] = {}
    for view in views:
        if view.schedule is None or view.start is None:
            continue
        coverage: Coverage = context.ledger.coverage(view.name, view.version)
        needed = view.schedule.floor(last)
        gaps = coverage.missing(Interval(view.start, needed)) if needed > view.start else ()
        if gaps:
            found[view.name] = gaps
    return found
