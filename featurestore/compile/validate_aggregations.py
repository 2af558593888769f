"""Problems of windowed aggregations."""

from __future__ import annotations

from datetime import timedelta

from featurestore.compile.aggregates import accepted_types, default_name, is_lossless, output_dtype
from featurestore.compile.report import Report, unknown
from featurestore.compile.schemas import Schemas, batch_source_of, inputs_of, join_keys_of
from featurestore.intervals import show_duration
from featurestore.ir.columns import RESERVED
from featurestore.spec.aggregation import Aggregation, AggregationFunction
from featurestore.spec.dtypes import Bool, DType, show_dtype
from featurestore.spec.feature_view import BatchFeatureView
from featurestore.spec.source import Source

__all__ = ["check_aggregations"]

_WITH_K = (AggregationFunction.FIRST_K, AggregationFunction.LAST_K, AggregationFunction.TOP_K)
_WITH_LIMIT = (AggregationFunction.COUNT_DISTINCT, AggregationFunction.HISTOGRAM)


def check_aggregations(view: BatchFeatureView, schemas: Schemas, report: Report, step: timedelta | None) -> None:
    """Check each aggregation's function, column, window and parameters."""
    columns = schemas.rows(view)
    types = None if columns is None else {column.name: column.dtype for column in columns}
    has_query = bool(view.sql or view.function)
    if view.schema and not has_query:
        report.add(
            view,
            "has aggregations and schema, and no sql or function whose columns schema= could name; leave schema= out "
            "(dtype= of an aggregation overrides its type)",
        )
    if view.lookback is not None and not has_query:
        report.add(view, "has both aggregations and lookback; the windows say how far back events are read")
    if has_query:
        _check_query(view, schemas, report)
    for item in view.aggregations:
        label = f"aggregation {item.name or default_name(item)!r}"
        for message in [*_window_problems(item), *_parameter_problems(item), *_type_problems(item, types)]:
            report.add(view, f"{label}: {message}")
        if item.window is not None and step is not None and timedelta(0) < item.window < step:
            report.warn(
                view,
                f"{label}: window {show_duration(item.window)} is shorter than the schedule's step of "
                f"{show_duration(step)}: events between the end of a step and the start of the next window never count",
            )


def _check_query(view: BatchFeatureView, schemas: Schemas, report: Report) -> None:
    """Check that a query's rows can have times, and that its columns have no name that is taken."""
    inputs = inputs_of(view)
    timed = [
        entry
        for entry in inputs
        if not isinstance(entry, Source) or getattr(batch_source_of(entry), "timestamp_field", None) is not None
    ]
    if inputs and not timed:
        report.add(view, "has aggregations and no input with a timestamp_field, so its rows have no time; give it one")
    taken = {*(key.name for key in join_keys_of(view.entities)), *RESERVED}
    for name in sorted(taken & {column.name for column in view.schema}):
        report.add(
            view, f"schema: {name!r} is a join key or the rows' time, which the query gives anyway; leave it out there"
        )


def _window_problems(item: Aggregation) -> list[str]:
    window = item.window
    if window is not None and (window <= timedelta(0) or window % timedelta(minutes=1)):
        return [
            f"window={window!r} is not valid; valid is a positive whole number of minutes, or None for the lifetime"
        ]
    return []


def _parameter_problems(item: Aggregation) -> list[str]:
    if item.function not in set(AggregationFunction):
        return [unknown("function", item.function, AggregationFunction)]
    function = AggregationFunction(item.function)
    problems = []
    if function in _WITH_K and (item.k is None or item.k < 1):
        problems.append(f"{function} takes k=, a whole number of at least 1; found k={item.k}")
    if function not in _WITH_K and item.k is not None:
        problems.append(f"{function} takes no k=; found k={item.k}")
    if function is AggregationFunction.APPROX_PERCENTILE:
        if item.percentile is None or not 0 <= item.percentile <= 1:
            problems.append(f"{function} takes percentile=, a number from 0 to 1; found percentile={item.percentile}")
    elif item.percentile is not None:
        problems.append(f"{function} takes no percentile=; found percentile={item.percentile}")
    if item.limit is not None and (function not in _WITH_LIMIT or item.limit < 1):
        problems.append(f"limit={item.limit} is not valid; count_distinct and histogram take a limit of at least 1")
    if item.column is None and function is not AggregationFunction.COUNT:
        problems.append(f"{function} takes a column; only count works without one")
    if item.where is not None and not item.where.strip():
        problems.append("where= is empty; leave it out, or write an SQL predicate")
    return problems


def _type_problems(item: Aggregation, types: dict[str, DType] | None) -> list[str]:
    if types is None or item.function not in set(AggregationFunction):
        return []
    if item.column is not None and item.column not in types:
        return [unknown("column", item.column, types)]
    function = AggregationFunction(item.function)
    if item.column is None:
        found = output_dtype(function, None)
    else:
        column = types[item.column]
        found = output_dtype(function, column)
        if found is None:
            hint = f"; count with where={item.column!r} counts the true ones" if column == Bool else ""
            takes = f"it takes {accepted_types(function)}{hint}"
            return [f"{function} does not take column {item.column!r} of type {show_dtype(column)}; {takes}"]
    if item.dtype is not None and found is not None and not is_lossless(found, item.dtype):
        return [f"dtype={show_dtype(item.dtype)} does not hold every {show_dtype(found)}, which {function} gives here"]
    return []
