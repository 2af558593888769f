"""On-demand features in training sets: the same function as online, run over Arrow batches in Spark's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from featurestore.engines.spark import arrow_columns
from featurestore.errors import Problem, SchemaMismatch
from featurestore.ir.ddl import column_ddl
from featurestore.ondemand.arrays import Column, read_column
from featurestore.ondemand.functions import run_on_demand
from featurestore.retrieval.plan import OnDemandCall, OnDemandOutput, RequestArgument, RequestPlan, StoredArgument
from featurestore.runtime.code import ship_code
from featurestore.runtime.context import RuntimeContext
from featurestore.spec.dtypes import DType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["call_column", "with_on_demand"]


def call_column(number: int, feature: str) -> str:
    """Name the column of a feature of the plan's ``number``-th call."""
    return f"_c{number}_{feature}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One function; both kinds of input are (argument, column of the frame, type)."""

    number: int
    call: OnDemandCall
    stored: tuple[tuple[str, str, DType], ...]
    requested: tuple[tuple[str, str, DType], ...]


def with_on_demand(
    context: RuntimeContext,
    frame: DataFrame,
    plan: RequestPlan,
    column_of: Callable[[int, str], str],
) -> DataFrame:
    """Append ``call_column(call, feature)`` for every call that ``plan`` has an output of.

    ``column_of(read, feature)`` names the frame's columns of stored features; request fields go by their own names.
    """
    called = sorted({output.call for output in plan.outputs if isinstance(output, OnDemandOutput)})
    if not called:
        return frame
    ship_code(context, [plan.calls[number].view.code for number in called])
    prepared = tuple(_prepare(frame, number, plan, column_of) for number in called)
    added = [
        column_ddl(call_column(item.number, feature.name), feature.dtype, is_nullable=True)
        for item in prepared
        for feature in item.call.view.features
    ]
    kept = [f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema]
    return frame.mapInArrow(partial(_run, prepared), ", ".join([*kept, *added]))


def _prepare(frame: DataFrame, number: int, plan: RequestPlan, column_of: Callable[[int, str], str]) -> _Call:
    call = plan.calls[number]
    stored: list[tuple[str, str, DType]] = []
    requested: list[tuple[str, str, DType]] = []
    missing: list[str] = []
    for argument in call.arguments:
        match argument:
            case StoredArgument():
                fields = plan.reads[argument.read].view.features
                dtype = next(field.dtype for field in fields if field.name == argument.feature)
                stored.append((argument.name, column_of(argument.read, argument.feature), dtype))
            case RequestArgument():
                if argument.column not in frame.columns:
                    missing.append(argument.column)
                requested.append((argument.name, argument.column, argument.dtype))
            case _:
                raise TypeError(f"on-demand view {call.view.name!r} reads {type(argument).__name__}")
    if missing:
        raise SchemaMismatch(
            [
                Problem(
                    location="entity_df",
                    object=name,
                    message=f"on-demand view {call.view.name!r} needs this request field; add the column",
                )
                for name in missing
            ]
        )
    return _Call(number=number, call=call, stored=tuple(stored), requested=tuple(requested))


def _run(calls: tuple[_Call, ...], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        for item in calls:
            inputs = {name: arrow_columns.column_of(batch[column], dtype) for name, column, dtype in item.stored}
            inputs |= {name: _requested(batch[column], dtype) for name, column, dtype in item.requested}
            outputs = run_on_demand(item.call.view, inputs)
            for feature in item.call.view.features:
                values = arrow_columns.column_to_arrow(outputs[feature.name], feature.dtype)
                columns[call_column(item.number, feature.name)] = values
        yield pa.record_batch(columns)


def _requested(column: Any, dtype: DType) -> Column:
    """Read a column of the spine, which may be of any type that changes to ``dtype`` without loss."""
    is_plain = column.null_count == 0 and not pa.types.is_nested(column.type)
    return read_column(dtype, column.to_numpy(zero_copy_only=False) if is_plain else column.to_pylist())
